import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from '../../agent.ts';
import { notifySystemd, refuseDumps } from '../../access/peer-credentials.ts';
import { loadConfig } from '../../config/read-config.ts';
import { exitCodeOf, SidekeyError } from '../../errors.ts';
import { createLogger, type Logger } from '../../log/logger.ts';
import { reportEveryMs, Watchdog } from '../../watchdog.ts';
import { CONFIG_OPTION, configFile, type Command, type Invocation } from '../command.ts';

/**
 * READY=1 is sent when the keeper is attached, or after this long without one: the agent serves anyway, and
 * recovers.
 */
const READY_WAIT_MS = 5000;
/** systemd restarts a failed agent at once; one that cannot start must not keep a processor busy. */
const START_FAILED_MS = 2000;

function ended(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
  return promise;
}

/** All or nothing: if anything is wrong with the new file, the agent keeps its old configuration. */
async function reload(agent: Agent, file: string, log: Logger): Promise<void> {
  notifySystemd(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  try {
    await agent.reload(loadConfig(file));
    log.info({ config: file }, 'reloaded the configuration');
  } catch (error) {
    if (!(error instanceof SidekeyError)) throw error;
    for (const problem of error.message.split('\n'))
      log.error({ code: error.code, problem }, 'keeping the old configuration');
  }
  notifySystemd('READY=1');
}

/** Gives how to end it. A report that cannot be sent is logged once: systemd restarts the agent anyway. */
function startWatchdog(agent: Agent, log: Logger): () => void {
  const everyMs = reportEveryMs(process.env, process.pid);
  if (everyMs === null) return () => undefined;
  let isLogged = false;
  const report = (): void => {
    try {
      notifySystemd('WATCHDOG=1');
    } catch (error) {
      if (!isLogged) log.warn({ error }, 'cannot report to the watchdog of systemd');
      isLogged = true;
    }
  };
  const watchdog = new Watchdog(agent.keeper, () => performance.now(), report);
  const timer = setInterval(() => watchdog.look(), everyMs);
  return () => clearInterval(timer);
}

async function serve(agent: Agent, file: string, log: Logger): Promise<void> {
  const end = ended();
  let working = agent.start();
  process.on('SIGHUP', () => (working = working.then(() => reload(agent, file, log))));
  await working;
  const attached = agent.waitForKeeper(READY_WAIT_MS).catch((error: unknown) => {
    log.warn({ error }, 'no keeper is running yet: keys cannot be used');
  });
  const endedEarly = await Promise.race([attached, end]);
  if (!endedEarly) {
    notifySystemd('READY=1');
    log.info({ config: file }, 'the agent is ready');
  }
  const endWatchdog = startWatchdog(agent, log);
  const signal = await end;
  endWatchdog();
  notifySystemd('STOPPING=1');
  log.info({ signal }, 'ending');
  await working;
}

async function runAgent(invocation: Invocation): Promise<void> {
  const file = configFile(invocation);
  const config = loadConfig(file);
  const log = createLogger(config.log.level);
  refuseDumps();
  // Loaded here, so that other commands need not load it.
  const { Agent } = await import('../../agent.ts');
  const agent = new Agent({ config, log, version: invocation.version });
  try {
    await serve(agent, file, log);
  } finally {
    await agent.stop();
  }
  log.info('ended');
}

export const agentCommand: Command = {
  name: 'agent',
  summary: 'run the agent in the foreground',
  help: 'Logs JSON lines to stderr. SIGHUP reloads the configuration; if it has errors, the agent keeps the old configuration\nand logs every error. SIGTERM stops the agent. Under systemd use Type=notify.',
  options: { ...CONFIG_OPTION },
  positionals: [],
  examples: ['sidekey agent --config /etc/sidekey/sidekey.yaml'],
  async run(invocation) {
    try {
      await runAgent(invocation);
    } catch (error) {
      if (!(error instanceof SidekeyError)) throw error;
      // Printed before the pause, so that a waiting user sees it at once.
      invocation.warn(`sidekey: ${error.code}: ${error.message}`);
      if (invocation.environment['NOTIFY_SOCKET']) await sleep(START_FAILED_MS);
      return exitCodeOf(error.code);
    }
    return 0;
  },
};
