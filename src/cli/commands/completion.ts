import { COMPLETIONS, SHELLS } from '../pages/completion.ts';
import type { Command } from '../command.ts';

export const completionCommand: Command = {
  name: 'completion',
  summary: 'print a completion script for a shell',
  help: 'The script completes commands, options and fixed values; it does not contact the agent.',
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
