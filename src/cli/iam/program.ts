/**
 * The `iam` commands, their flags and their help, as commander sees them. What a command does is in iam-commands/.
 */
import type { Command } from 'commander';
import type { IamFlags } from './flags.ts';
import type { IamCommand } from './session.ts';

type Load = () => Promise<IamCommand>;

/** Adds them to the program; `exit` gets the exit code of the one that ran. */
export function addIamCommands(program: Command, exit: (code: number) => void): void {
  const iam = group(program, 'iam', 'clients, secrets, subjects, permissions and policies of Aritma IAM');
  iam.addHelpText('after', EXAMPLES);
  const leaf = (parent: Command, usage: string, about: string, load: Load): Command =>
    withConnection(parent.command(usage).description(about).exitOverride().allowExcessArguments(false)).action(
      async (...args) => {
        const operands = args.slice(0, -2).filter((operand) => typeof operand === 'string');
        const { runIamCommand } = await import('./session.ts');
        exit(await runIamCommand(await load(), args.at(-2) as IamFlags, operands));
      },
    );
  addClients(group(iam, 'clients', 'the OAuth clients of the tenant'), leaf);
  addSecrets(group(iam, 'secrets', 'the secrets of a client'), leaf);
  addAccess(iam, leaf);
  addProvision(iam, exit);
}

/** Asks by itself, and ends with what the doctor says. */
function addProvision(iam: Command, exit: (code: number) => void): void {
  withConnection(iam.command('provision').exitOverride().allowExcessArguments(false))
    .description('make client, secret and policies as one file says; twice changes nothing')
    .requiredOption('-f, --file <file>', 'what there should be, as YAML')
    .option('--dry-run', 'show what would be done and do nothing')
    .option(...YES)
    .action(async (flags: IamFlags) => {
      const { openAccess } = await import('./session.ts');
      const { provision } = await import('./provision.ts');
      const { loaded, connect } = openAccess(flags);
      const { environment } = loaded.config;
      const io = { output: process.stdout, input: process.stdin };
      exit(await provision(flags, { connect, environment, cwd: process.cwd(), ...io }));
    });
}

type Leaf = (parent: Command, usage: string, about: string, load: Load) => Command;

function addClients(clients: Command, leaf: Leaf): void {
  const load = async () => (await import('./clients.ts')).CLIENT_COMMANDS;
  leaf(clients, 'list', 'all clients, or those whose name contains a text', async () => (await load()).list).option(
    '--search <text>',
    'part of a name',
  );
  leaf(clients, 'get <client-id>', 'everything IAM says of a client', async () => (await load()).get);
  const create = leaf(
    clients,
    'create',
    'a new client, without secrets and permissions',
    async () => (await load()).create,
  );
  create
    .requiredOption('--name <name>', 'what people call it')
    .requiredOption('--description <text>', 'what it is for')
    .requiredOption('--scope <scope>', 'scope it may ask for; repeatable', collect);
  const update = leaf(
    clients,
    'update <client-id>',
    'change what is given, keep the rest',
    async () => (await load()).update,
  );
  update
    .option('--name <name>', 'what people call it')
    .option('--description <text>', 'what it is for')
    .option('--scope <scope>', 'scope it may ask for, instead of those it has; repeatable', collect)
    .option('--no-redirect-uris', 'take all redirect URIs away');
  for (const command of [create, update]) {
    command
      .option('--grant-type <type>', 'grant it may use; repeatable (a new client: client_credentials)', collect)
      .option('--redirect-uri <uri>', 'redirect URI of the authorization code grant; repeatable', collect);
  }
  leaf(
    clients,
    'delete <client-id>',
    'delete a client, its secrets and its policies',
    async () => (await load()).delete,
  ).option(...YES);
}

function addSecrets(secrets: Command, leaf: Leaf): void {
  const load = async () => (await import('./secrets.ts')).SECRET_COMMANDS;
  leaf(
    secrets,
    'list <client-id>',
    'ids, expiry and descriptions; nobody can read a value again',
    async () => (await load()).list,
  );
  leaf(secrets, 'create <client-id>', 'a new secret beside those there are', async () => (await load()).create)
    .requiredOption('--description <text>', 'what it is used for')
    .option('--expires <when>', '90d, 2027-06-30, 2027-06-30T12:00Z or never', 'never')
    .option('--out <file>', 'keep the value in this new file (mode 0600)')
    .option('--force', 'with --out: replace a file that exists')
    .option('--show', 'print the value, once')
    .option('--value-file <file>', 'take the value from this file instead of generating one');
  leaf(secrets, 'delete <client-id> <secret-id>', 'delete one secret', async () => (await load()).delete).option(
    ...YES,
  );
}

function addAccess(iam: Command, leaf: Leaf): void {
  const load = async () => (await import('./policies.ts')).ACCESS_COMMANDS;
  const subjects = group(iam, 'subjects', 'clients as those whom policies name');
  leaf(subjects, 'list', 'subject ids of clients', async () => (await load()).subjects).option(
    '--search <text>',
    'part of a name',
  );
  leaf(
    iam,
    'permissions <client-id>',
    'what a client may do, from all its policies',
    async () => (await load()).permissions,
  )
    .option('--resource-type <type>', 'only on resources of this type, for example subscriptions')
    .option('--resource-provider <provider>', 'only of this provider, for example aritma.control')
    .option('--action <action>', 'only this action');
  const policies = group(iam, 'policies', 'who may do what where');
  leaf(policies, 'list', 'all policies, or those that fit', async () => (await load()).policies)
    .option('--subject <subject-id>', 'only of this subject')
    .option('--scope <scope>', 'only on this scope, for example /subscriptions/123')
    .option('--action <action>', 'only for this action')
    .option('--include-derived', 'also what follows from a parent action')
    .option('--include-inherited', 'also what follows from a scope above');
  const one = (usage: string, about: string, command: Load) =>
    leaf(policies, usage, about, command)
      .option('--subject <subject-id>', 'whose policy, as subjects list has it')
      .option('--client <client-id>', 'the same by client; its subject is looked up')
      .requiredOption('--scope <scope>', 'where, for example /subscriptions/123')
      .requiredOption('--action <action>', 'what, for example banking.pis.create');
  one('create', 'allow something, at once', async () => (await load()).createPolicy);
  one('delete', 'no longer allow it, at once', async () => (await load()).deletePolicy).option(...YES);
}

const YES = ['--yes', 'do not ask; needed where standard input is no terminal'] as const;

function group(parent: Command, name: string, about: string): Command {
  return parent.command(name).description(about).exitOverride().helpCommand(false);
}

function withConnection(command: Command): Command {
  return command
    .optionsGroup('Connection and output:')
    .option('--config <file>', 'configuration file (default: aritma-sidecar.yaml, if there is one)')
    .option('--environment <name>', 'dev, prod, emulator or none (ARITMA_ENVIRONMENT)')
    .option('--iam-url <url>', 'base URL of Aritma IAM (ARITMA_IAM_URL)')
    .option('--credential <name>', 'whose tokens to use (default: iam.credential of the file, else default)')
    .option('--token-file <file>', 'an administrator’s access token instead of a credential')
    .option('--json', 'one JSON object a line, as when the output is no terminal')
    .optionsGroup('Options:');
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

const EXAMPLES = `
Examples:
  aritma-sidecar iam clients list --environment dev --token-file token.txt
  aritma-sidecar iam clients create --name my-erp --description 'ERP of Oslo' --scope api
  aritma-sidecar iam secrets create CLIENT_ID --description 2026 --expires 90d --out secret.txt
  aritma-sidecar iam policies create --client CLIENT_ID --action banking.ais.read --scope /subscriptions/123
  aritma-sidecar iam provision -f service-client.yaml --dry-run`;
