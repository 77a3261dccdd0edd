import { COMPLETIONS, SHELLS } from './completion.ts';
import type { Command } from './command.ts';

export const completionCommand: Command = {
  name: 'completion',
  summary: 'what a shell needs to complete commands and options',
  help: 'Prints a script. It knows commands, options and what values may be; it asks no agent.',
  options: {},
  positionals: [{ name: 'SHELL', required: true, choices: SHELLS, help: 'bash, zsh or fish' }],
  examples: [
    'source <(sidekey completion bash)',
    'sidekey completion zsh > /usr/local/share/zsh/site-functions/_sidekey',
    'sidekey completion fish > ~/.config/fish/completions/sidekey.fish',
  ],
  async run({ positionals, commands, streams }) {
    const shell = SHELLS.find((each) => each === positionals[0]) ?? 'bash';
    streams.output.write(COMPLETIONS[shell](commands));
    return 0;
  },
};
