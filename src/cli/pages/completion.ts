/** Completion for bash, zsh and fish, generated from the command table: it asks no agent and runs nothing. */
import type { Command, OptionRow } from '../command.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** What a shell completes by itself for an argument with this placeholder. */
type Kind = 'file' | 'folder' | 'choice' | 'any';

const FILE_NAMES: readonly string[] = ['FILE', 'LOG'];

function kindOf(name: string, choices: readonly string[] | undefined): Kind {
  if (choices) return 'choice';
  if (FILE_NAMES.includes(name)) return 'file';
  return name === 'DIR' ? 'folder' : 'any';
}

function valueOptions({ options }: Command): [string, OptionRow][] {
  return Object.entries(options).filter(([, { type }]) => type === 'string');
}

/** The first words in order, each with its second words; none for a command of one word. */
function groupsOf(commands: readonly Command[]): Map<string, Command[]> {
  return Map.groupBy(commands, ({ name }) => name.split(' ')[0] ?? name);
}

function isGroup(word: string, members: readonly Command[]): boolean {
  return members.some(({ name }) => name !== word);
}

const secondWord = ({ name }: Command): string => name.split(' ')[1] ?? '';

/** Quotes for a shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

const BASH_ACTIONS: Readonly<Record<Kind, (choices: readonly string[]) => string>> = {
  file: () => 'compopt -o filenames; COMPREPLY=($(compgen -f -- "$current"))',
  folder: () => 'compopt -o filenames; COMPREPLY=($(compgen -d -- "$current"))',
  choice: (choices) => `COMPREPLY=($(compgen -W ${quote(choices.join(' '))} -- "$current"))`,
  any: () => ':',
};

function bashCommand(command: Command): string[] {
  const values = valueOptions(command).map(([name, { value = '', choices }]) => {
    const action = BASH_ACTIONS[kindOf(value, choices)](choices ?? []);
    return `                --${name}) ${action}; return ;;`;
  });
  const [first] = command.positionals;
  const kind = first ? kindOf(first.name, first.choices) : 'any';
  const names = Object.keys(command.options).map((name) => `--${name}`);
  return [
    `        ${quote(command.name)})`,
    ...(values.length > 0 ? ['            case $previous in', ...values, '            esac'] : []),
    `            [[ $current == -* ]] || { ${BASH_ACTIONS[kind](first?.choices ?? [])}; return; }`,
    `            words=${quote([...names, '--help'].join(' '))} ;;`,
  ];
}

function renderBash(commands: readonly Command[]): string {
  const groups = [...groupsOf(commands)];
  const seconds = groups
    .filter(([word, members]) => isGroup(word, members))
    .map(
      ([word, members]) =>
        `        ${word}) command="$first $second"; words=${quote(members.map(secondWord).join(' '))} ;;`,
    );
  return [
    '# bash completion of sidekey: source it, or put it below /usr/share/bash-completion/completions.',
    '_sidekey() {',
    '    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}',
    '    local first=${COMP_WORDS[1]} second=${COMP_WORDS[2]} command words=',
    '    COMPREPLY=()',
    '    command=$first',
    '    case $first in',
    ...seconds,
    '    esac',
    '    if ((COMP_CWORD == 1)); then',
    `        words=${quote([...groups.map(([word]) => word), '--help', '--version'].join(' '))}`,
    '    elif [[ -z $words ]] || ((COMP_CWORD > 2)); then',
    '        case $command in',
    ...commands.flatMap(bashCommand).map((line) => `    ${line}`),
    '        esac',
    '    fi',
    '    COMPREPLY=($(compgen -W "$words" -- "$current"))',
    '}',
    'complete -F _sidekey sidekey',
    '',
  ].join('\n');
}

/** Colons and brackets separate parts of an _arguments specification. */
function zshText(text: string): string {
  return text.replace(/[\\[\]:]/g, '\\$&');
}

const ZSH_ACTIONS: Readonly<Record<Kind, (choices: readonly string[]) => string>> = {
  file: () => '_files',
  folder: () => '_files -/',
  choice: (choices) => `(${choices.join(' ')})`,
  any: () => ' ',
};

function zshOption([name, { type, value = '', choices, multiple, help }]: [string, OptionRow]): string {
  const action = ZSH_ACTIONS[kindOf(value, choices)](choices ?? []);
  const argument = type === 'string' ? `:${zshText(value)}:${action}` : '';
  return quote(`${multiple ? '*' : ''}--${name}[${zshText(help)}]${argument}`);
}

function zshArguments(command: Command): string {
  const positionals = command.positionals.map(({ name, required, choices }) =>
    quote(`:${required ? '' : ':'}${name}:${ZSH_ACTIONS[kindOf(name, choices)](choices ?? [])}`),
  );
  const options = Object.entries(command.options).map(zshOption);
  return ['_arguments', ...options, quote('--help[what it takes]'), ...positionals].join(' ');
}

function zshDescribe(what: string, rows: readonly (readonly [word: string, summary: string])[]): string {
  const entries = rows.map(([word, summary]) => quote(`${word}:${summary}`));
  return `choices=(${entries.join(' ')}); _describe ${what} choices`;
}

function zshGroup(word: string, members: readonly Command[]): string[] {
  const [only] = members;
  if (!isGroup(word, members) && only) return [`        ${word}) ${zshArguments(only)} ;;`];
  const second = zshDescribe(
    'command',
    members.map((each) => [secondWord(each), each.summary]),
  );
  return [
    `        ${word})`,
    `            if ((CURRENT == 2)); then ${second}; return; fi`,
    '            shift words; ((CURRENT--))',
    '            case $words[1] in',
    ...members.map((each) => `                ${secondWord(each)}) ${zshArguments(each)} ;;`),
    '            esac ;;',
  ];
}

function renderZsh(commands: readonly Command[]): string {
  const groups = [...groupsOf(commands)];
  const first = groups.map(([word, members]): [string, string] => [
    word,
    isGroup(word, members) ? members.map(secondWord).join(', ') : (members[0]?.summary ?? ''),
  ]);
  return [
    '#compdef sidekey',
    '# zsh completion of sidekey: put it as _sidekey into a folder of $fpath.',
    '_sidekey() {',
    '    local -a choices',
    `    if ((CURRENT == 2)); then ${zshDescribe('command', first)}; return; fi`,
    '    shift words; ((CURRENT--))',
    '    case $words[1] in',
    ...groups.flatMap(([word, members]) => zshGroup(word, members)),
    '    esac',
    '}',
    '[[ $funcstack[1] == _sidekey ]] && _sidekey "$@" || compdef _sidekey sidekey',
    '',
  ].join('\n');
}

const FISH_ACTIONS: Readonly<Record<Kind, (choices: readonly string[]) => string>> = {
  file: () => ' -rF',
  folder: () => " -xa '(__fish_complete_directories)'",
  choice: (choices) => ` -xa ${quote(choices.join(' '))}`,
  any: () => ' -x',
};

function fishCommand(command: Command): string[] {
  const here = `complete -c sidekey -n ${quote(`__sidekey_begins ${command.name}`)}`;
  const [first] = command.positionals;
  const kind = first ? kindOf(first.name, first.choices) : 'any';
  const options = Object.entries(command.options).map(([name, { type, value = '', choices, help }]) => {
    const action = type === 'string' ? FISH_ACTIONS[kindOf(value, choices)](choices ?? []) : '';
    return `${here} -l ${name}${action} -d ${quote(help)}`;
  });
  const argument =
    kind === 'file'
      ? [`${here} -F`]
      : kind === 'choice'
        ? [`${here} -a ${quote((first?.choices ?? []).join(' '))}`]
        : [];
  return [...options, ...argument];
}

function renderFish(commands: readonly Command[]): string {
  const words = [...groupsOf(commands)].flatMap(([word, members]) => {
    const summary = isGroup(word, members) ? members.map(secondWord).join(', ') : (members[0]?.summary ?? '');
    const first = `complete -c sidekey -n '__sidekey_is' -a ${word} -d ${quote(summary)}`;
    if (!isGroup(word, members)) return [first];
    const seconds = members.map(
      (each) =>
        `complete -c sidekey -n '__sidekey_is ${word}' -a ${secondWord(each)} -d ${quote(each.summary)}`,
    );
    return [first, ...seconds];
  });
  return [
    '# fish completion of sidekey: put it as sidekey.fish below ~/.config/fish/completions.',
    'function __sidekey_is',
    '    set -l words (commandline -opc)',
    '    test "$words[2..]" = "$argv"',
    'end',
    'function __sidekey_begins',
    '    set -l words (commandline -opc)',
    '    set -l last (math 1 + (count $argv))',
    '    test (count $words) -ge $last; and test "$words[2..$last]" = "$argv"',
    'end',
    'complete -c sidekey -f',
    ...words,
    ...commands.flatMap(fishCommand),
    '',
  ].join('\n');
}

export const COMPLETIONS: Readonly<Record<Shell, (commands: readonly Command[]) => string>> = {
  bash: renderBash,
  zsh: renderZsh,
  fish: renderFish,
};
