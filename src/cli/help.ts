/**
 * How the help of a command looks, and the text that follows its first line: details and examples.
 */
import { styleText } from 'node:util';
import type { Command, HelpConfiguration, Option } from 'commander';

/** For commander's `configureHelp`. Commands inherit it. */
export const HELP_LAYOUT: HelpConfiguration = {
  styleTitle: (text) => styleText('bold', text),
  visibleCommands: (command) => [...command.commands],
  subcommandTerm: (command) => [command.name(), ...operands(command)].join(' '),
  subcommandDescription: (command) => command.description(),
  commandDescription(command) {
    const [first = '', ...rest] = command.description();
    return [`${first.toUpperCase()}${rest.join('')}.`, ...(TEXTS[pathOf(command)]?.more ?? [])].join('\n');
  },
  optionDescription: describeOption,
  argumentDescription: ({ description, argChoices }) =>
    argChoices ? `${description} (one of ${argChoices.join(', ')})` : description,
};

function operands(command: Command): string[] {
  return command.registeredArguments.map((argument) => `<${argument.name()}${argument.variadic ? '...' : ''}>`);
}

function describeOption({ description, argChoices, defaultValue, negate }: Option): string {
  const notes = [
    ...(argChoices ? [`one of ${argChoices.join(', ')}`] : []),
    ...(defaultValue === undefined || negate ? [] : [`default: ${String(defaultValue)}`]),
  ];
  return notes.length > 0 ? `${description} (${notes.join('; ')})` : description;
}

/** The name of a command without that of the program: `iam clients list`; empty for the program. */
export function pathOf(command: Command): string {
  const above = command.parent;
  if (!above) return '';
  return [pathOf(above), command.name()].join(' ').trim();
}

/** Adds the examples to the help of every command of the tree. */
export function addExamples(command: Command): void {
  const { examples = [], heading = 'Examples:' } = TEXTS[pathOf(command)] ?? {};
  if (examples.length > 0) {
    command.addHelpText('after', () => ['', styleText('bold', heading), ...examples.map(indented)].join('\n'));
  }
  for (const each of command.commands) addExamples(each);
}

const indented = (line: string) => `  ${line}`;

interface Text {
  /** Lines below the description. */
  readonly more?: readonly string[];
  /** Above the examples; `Examples:` by default. */
  readonly heading?: string;
  readonly examples?: readonly string[];
}

const TEXTS: Readonly<Record<string, Text>> = {
  '': {
    more: ['Without a command it runs serve, with the flags of serve.'],
    examples: [
      'aritma-sidecar demo                        # all local, no configuration needed',
      'aritma-sidecar check --config my.yaml      # is everything set up correctly?',
      'export ARITMA_ENVIRONMENT=dev ARITMA_CLIENT_ID=my-erp ARITMA_CLIENT_SECRET_FILE=secret.txt',
      'aritma-sidecar                             # then: curl http://127.0.0.1:7080/banking/accounts',
    ],
  },
  serve: {
    more: [
      'SIGTERM and SIGINT stop it after the running requests; SIGHUP reloads configuration and secrets.',
      'Exit codes: 0 stopped, 2 bad configuration, 3 cannot listen, 4 requests were cut off.',
    ],
    examples: ['aritma-sidecar serve --config my.yaml', 'aritma-sidecar --environment dev --client-id my-erp'],
  },
  wait: {
    more: ['Exit codes: 0 ready, 10 not ready in time.'],
    examples: ['aritma-sidecar wait --max 10s && ./start-erp.sh'],
  },
  shutdown: {
    more: [
      'The sidecar accepts this over a Unix socket, or over TCP with adminActions: true.',
      'Exit codes: 0 accepted, 10 no sidecar responds or it refuses.',
    ],
    examples: ['aritma-sidecar shutdown --admin unix:/run/aritma-sidecar/admin.sock'],
  },
  check: {
    more: [
      'Fetches a real token per credential and calls each API. Prints each finding with its fix, then the next step.',
      'Exit codes: 0 all good, 2 configuration, 5 credentials, 6 identity server, 7 API.',
    ],
    examples: ['aritma-sidecar check --config my.yaml --watch'],
  },
  status: {
    more: ['Exit codes: 0 calls work on every route, 5 to 7 as for check, 10 no sidecar is serving.'],
    examples: ['aritma-sidecar status', 'aritma-sidecar status --admin 127.0.0.1:7090 --json'],
  },
  support: {
    more: [
      'Configuration, state, errors, findings of check, metrics and the end of the log; the sidecar need not run.',
      'Only the owner can read the file; no file is replaced. Read it before you send it.',
    ],
    examples: ['aritma-sidecar support --config my.yaml', 'aritma-sidecar support --output support.txt'],
  },
  audit: { examples: ['aritma-sidecar audit verify audit.log'] },
  'audit verify': {
    more: ['Exit codes: 0 the chain is intact, 2 a file cannot be read, 11 the chain is broken.'],
    examples: ['aritma-sidecar audit verify audit.log'],
  },
  rotate: {
    more: [
      'Creates a new secret, verifies it, stores it, waits for the overlap and deletes the old secret.',
      'Exit codes: 0 done, 6 IAM unreachable, 8 refused, 9 new secret not verified or old one not deleted.',
    ],
    examples: ['aritma-sidecar rotate --config my.yaml', 'aritma-sidecar rotate --no-wait --json   # from a timer'],
  },
  iam: {
    more: ['All commands take --config, --environment, --iam-url, --credential, --token-file and --json.'],
    examples: [
      'aritma-sidecar iam clients list --environment dev --token-file token.txt',
      "aritma-sidecar iam clients create --name my-erp --description 'ERP of Oslo' --scope api",
      'aritma-sidecar iam provision -f service-client.yaml --dry-run',
    ],
  },
  'iam clients': { examples: ['aritma-sidecar iam clients list --search erp'] },
  'iam clients list': { examples: ['aritma-sidecar iam clients list --search erp'] },
  'iam clients create': {
    examples: ["aritma-sidecar iam clients create --name my-erp --description 'ERP of Oslo' --scope api"],
  },
  'iam clients update': { examples: ["aritma-sidecar iam clients update CLIENT_ID --description 'ERP of Bergen'"] },
  'iam secrets': { examples: ['aritma-sidecar iam secrets list CLIENT_ID'] },
  'iam secrets create': {
    more: ['Needs --out, --show or --value-file: IAM never returns the value.'],
    examples: ['aritma-sidecar iam secrets create CLIENT_ID --description 2026 --expires 90d --out secret.txt'],
  },
  'iam permissions': {
    examples: ['aritma-sidecar iam permissions CLIENT_ID --action banking.pis.create'],
  },
  'iam policies': { examples: ['aritma-sidecar iam policies list --scope /subscriptions/123'] },
  'iam policies list': { examples: ['aritma-sidecar iam policies list --scope /subscriptions/123'] },
  'iam policies create': {
    more: ['Needs either --subject or --client.'],
    examples: [
      'aritma-sidecar iam policies create --client CLIENT_ID --action banking.ais.read \\',
      '  --scope /subscriptions/123',
    ],
  },
  'iam policies delete': { more: ['Needs either --subject or --client.'] },
  'iam provision': {
    more: [
      'Shows the plan, asks, applies it and then runs check. Running it again changes nothing.',
      'Exit codes: those of check, and 8 when IAM refuses.',
    ],
    examples: ['aritma-sidecar iam provision -f service-client.yaml --dry-run'],
  },
  fleet: {
    examples: ['aritma-sidecar fleet key > fleet-key', 'aritma-sidecar fleet status --config my.yaml'],
  },
  'fleet key': {
    more: ['256 random bits in base64url: 43 characters. Give the same key to all members, and to nobody else.'],
    examples: ['(umask 077; aritma-sidecar fleet key > fleet-key)'],
  },
  'fleet status': {
    more: [
      'Connects to the store of the configuration and joins nothing. Never shows a value of the store.',
      'Exit codes: 0 done, 2 bad configuration or no fleet in it, 6 the store cannot be used.',
    ],
    examples: ['aritma-sidecar fleet status --config my.yaml', 'aritma-sidecar fleet status --json'],
  },
  'config init': {
    more: [
      'Asks on a terminal for what no flag says. Never asks for a secret on the command line, never prints one.',
      'Exit codes: those of check; 2 also while the secret is not there yet.',
    ],
    examples: [
      'aritma-sidecar config init',
      'aritma-sidecar config init --environment dev --client-id my-erp --secret-file secret.txt \\',
      '  --header Subscription-Id=3f1c9a52',
    ],
  },
  config: { examples: ['aritma-sidecar config print --config my.yaml'] },
  'config print': { examples: ['aritma-sidecar config print --environment dev --client-id my-erp'] },
  'config schema': { examples: ['aritma-sidecar config schema > aritma-sidecar.schema.json'] },
  completion: {
    more: ['It completes commands, flags, values and file names.'],
    heading: 'Installation:',
    examples: [
      "bash        echo 'source <(aritma-sidecar completion bash)' >> ~/.bashrc",
      "zsh         echo 'source <(aritma-sidecar completion zsh)' >> ~/.zshrc      # below compinit",
      'fish        aritma-sidecar completion fish > ~/.config/fish/completions/aritma-sidecar.fish',
      "PowerShell  'aritma-sidecar completion powershell | Out-String | Invoke-Expression' >> $PROFILE",
    ],
  },
  demo: {
    more: ['With --fleet, each further sidecar has the next port; exit code 1 where no store is installed.'],
    examples: ['aritma-sidecar demo', 'aritma-sidecar demo --once', 'aritma-sidecar demo --fleet 3'],
  },
  emulate: { examples: ['aritma-sidecar emulate --state aritma.json --token-lifetime 5m'] },
};
