import { Argument, Command } from 'commander';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** A command by the words that lead to it, and what may come next. */
interface Place {
  readonly path: readonly string[];
  readonly command: Command;
}

export const completionCommand = () =>
  new Command('completion')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .description('print what completes commands and options in a shell')
    .addHelpText(
      'after',
      `
Examples:
  livehook completion bash > ~/.local/share/bash-completion/completions/livehook
  livehook completion zsh > "\${fpath[1]}/_livehook"
  livehook completion fish > ~/.config/fish/completions/livehook.fish`,
    )
    .action((shell: Shell, _options: object, command: Command) => {
      process.stdout.write(completionOf(command.parent ?? command, shell));
    });

export function completionOf(program: Command, shell: Shell): string {
  const places = placesIn({ path: [], command: program });
  return { bash, zsh, fish }[shell](places);
}

function placesIn(place: Place): Place[] {
  const inner = place.command.commands.flatMap((command) => placesIn({ path: [...place.path, command.name()], command }));
  return [place, ...inner];
}

const optionsOf = ({ command }: Place) => command.createHelp().visibleOptions(command);
const commandsOf = ({ command }: Place) => command.createHelp().visibleCommands(command);

function wordsOf(place: Place): string {
  const options = optionsOf(place).flatMap(({ long }) => (long ? [long] : []));
  return [...commandsOf(place).map((command) => command.name()), ...options].join(' ');
}

/** Longer paths first: what comes after a command's own arguments is completed as it is. */
function casesOf(places: readonly Place[], reply: (words: string) => string): string {
  const longest = [...places].sort((a, b) => b.path.length - a.path.length);
  return longest.map((place) => `    "${place.path.map((word) => `${word} `).join('')}"*) ${reply(wordsOf(place))} ;;`).join('\n');
}

function bash(places: readonly Place[]): string {
  return `_livehook() {
  local path="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do [[ "$word" == -* ]] || path+="$word "; done
  case "$path" in
${casesOf(places, (words) => `COMPREPLY=($(compgen -W "${words}" -- "\${COMP_WORDS[COMP_CWORD]}"))`)}
  esac
}
complete -o default -F _livehook livehook
`;
}

function zsh(places: readonly Place[]): string {
  return `#compdef livehook
_livehook() {
  local line="" word
  for word in "\${(@)words[2,CURRENT-1]}"; do [[ "$word" == -* ]] || line+="$word "; done
  case "$line" in
${casesOf(places, (words) => `compadd -- ${words}; _files`)}
  esac
}
if [ "$funcstack[1]" = "_livehook" ]; then _livehook "$@"; else compdef _livehook livehook; fi
`;
}

function fish(places: readonly Place[]): string {
  const lines = places.flatMap((place) => {
    const seen = place.path.map((word) => `__fish_seen_subcommand_from ${word}`);
    const names = commandsOf(place).map((command) => command.name());
    const here = [...seen, ...(names.length > 0 ? [`not __fish_seen_subcommand_from ${names.join(' ')}`] : [])].join('; and ');
    const when = here === '' ? '' : ` -n '${here}'`;
    const commands = commandsOf(place).map(
      (command) => `complete -c livehook -f${when} -a ${command.name()} -d '${quoted(command.description())}'`,
    );
    const options = optionsOf(place).flatMap(({ long, description, required }) =>
      long
        ? [`complete -c livehook${seen.length > 0 ? when : ''} -l ${long.slice(2)}${required ? ' -r' : ''} -d '${quoted(description)}'`]
        : [],
    );
    return [...commands, ...options];
  });
  return `${lines.join('\n')}\n`;
}

function quoted(text: string): string {
  return text.replace(/[\\']/g, '\\$&');
}
