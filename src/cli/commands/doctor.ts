import { loadConfig } from '../../config/read-config.ts';
import { CONFIG_OPTION, configFile, JSON_OPTION, type Command } from '../command.ts';
import type { Paint, Style } from '../paint.ts';
import { CHECKS, type Finding } from '../doctor/checks.ts';
import { printable } from '../table.ts';

const STYLES: Readonly<Record<Finding['verdict'], Style>> = { ok: 'green', warn: 'yellow', bad: 'red' };

function formatFinding({ name, verdict, detail, cure }: Finding, paint: Paint): string {
  const line = `${name}: ${detail}`;
  const rest = printable(cure && verdict !== 'ok' ? `${line}. To fix it: ${cure}` : line);
  return `${paint(STYLES[verdict], verdict.padEnd(4))}  ${rest}`;
}

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'diagnose problems on this host and suggest fixes',
  help: 'Prints one line per check: ok, warn or bad. Exits with 1 if any is bad. Run it as the user that owns the agent.',
  options: { ...CONFIG_OPTION, ...JSON_OPTION },
  positionals: [],
  examples: ['sidekey doctor --config ./sidekey.yaml'],
  async run(invocation) {
    const config = loadConfig(configFile(invocation));
    const findings: Finding[] = [];
    for (const check of CHECKS) findings.push(...(await check(config)));
    if (invocation.values['json']) invocation.say(JSON.stringify(findings, null, 2));
    else for (const finding of findings) invocation.say(formatFinding(finding, invocation.paint));
    return findings.some(({ verdict }) => verdict === 'bad') ? 1 : 0;
  },
};
