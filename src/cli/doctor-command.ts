import { loadConfig } from '../config/read-config.ts';
import { CONFIG_OPTION, configFile, JSON_OPTION, type Command } from './command.ts';
import { CHECKS, type Finding } from './doctor-checks.ts';
import { printable } from './table.ts';

function formatFinding({ name, verdict, detail, cure }: Finding): string {
  const line = `${verdict.padEnd(4)}  ${name}: ${detail}`;
  return printable(cure && verdict !== 'ok' ? `${line}. To mend it: ${cure}` : line);
}

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'what is wrong on this host, and how to mend it',
  synopsis: '[--json] [--config FILE]',
  help: 'One line for each thing that was looked at: ok, warn or bad. Exits 1 when one is bad. Run it as the user that owns the agent.',
  options: { ...CONFIG_OPTION, ...JSON_OPTION },
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const config = loadConfig(configFile(invocation));
    const findings: Finding[] = [];
    for (const check of CHECKS) findings.push(...(await check(config)));
    if (invocation.values['json']) invocation.say(JSON.stringify(findings, null, 2));
    else for (const finding of findings) invocation.say(formatFinding(finding));
    return findings.some(({ verdict }) => verdict === 'bad') ? 1 : 0;
  },
};
