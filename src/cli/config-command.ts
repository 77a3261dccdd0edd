import { formatProblem, readConfig } from '../config/read-config.ts';
import { CONFIG_OPTION, configFile, type Command } from './command.ts';

export const configCheckCommand: Command = {
  name: 'config check',
  summary: 'every error of a configuration file',
  synopsis: '[FILE]',
  help: 'Each error stands on a line of its own: FILE:LINE:COLUMN: key: what is wrong. Exits 1 when there is one.',
  options: { ...CONFIG_OPTION },
  positionals: { min: 0, max: 1 },
  async run(invocation) {
    const file = invocation.positionals[0] ?? configFile(invocation);
    const { problems } = readConfig(file);
    for (const problem of problems) invocation.warn(formatProblem(file, problem));
    if (problems.length === 0) invocation.say(`${file}: no errors`);
    return problems.length === 0 ? 0 : 1;
  },
};
