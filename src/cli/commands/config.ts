import { formatProblem, readConfig } from '../../config/read-config.ts';
import { CONFIG_OPTION, configFile, JSON_OPTION, type Command } from '../command.ts';

export const configCheckCommand: Command = {
  name: 'config check',
  summary: 'check a configuration file',
  help: 'Prints each error on its own line: FILE:LINE:COLUMN: key: message. Exits with 1 if there are errors.',
  options: { ...CONFIG_OPTION, ...JSON_OPTION },
  positionals: [{ name: 'FILE', help: 'same as --config' }],
  examples: ['sidekey config check ./sidekey.yaml'],
  async run(invocation) {
    const file = invocation.positionals[0] ?? configFile(invocation);
    const { problems } = readConfig(file);
    if (invocation.values['json']) invocation.say(JSON.stringify({ file, problems }, null, 2));
    else for (const problem of problems) invocation.warn(formatProblem(file, problem));
    if (problems.length === 0 && !invocation.values['json']) invocation.say(`${file}: no errors`);
    return problems.length === 0 ? 0 : 1;
  },
};
