/**
 * The `iam` commands and their flags, as commander sees them. What each command does is in the files beside this one.
 */
import type { Command } from 'commander';
import type { IamFlags } from './flags.ts';
import type { IamCommand } from './session.ts';

type Load = () => Promise<IamCommand>;

/** Adds them to the program; `exit` receives the exit code of the command that ran. */
export function addIamCommands(program: Command, exit: (code: number) => void): void {
  const iam = group(program, 'iam', 'manage clients, secrets, permissions and policies in Aritma IAM');
  const leaf: Leaf = (parent, usage, about, load) =>
    parent
      .command(usage)
      .description(about)
      .allowExcessArguments(false)
      .action(async (...args) => {
        const operands = args.slice(0, -2).filter((operand) => typeof operand === 'string');
        const { runIamCommand } = await import('./session.ts');
        exit(await runIamCommand(await load(), args.at(-2) as IamFlags, operands));
      });
  addClients(group(iam, 'clients', 'manage the OAuth clients of the tenant'), leaf);
  addSecrets(group(iam, 'secrets', 'manage the secrets of a client'), leaf);
  addAccess(iam, leaf);
  addProvision(iam, exit);
  addConnection(iam);
}

/** Opens its own connection, and exits with the code of `check`. */
function addProvision(iam: Command, exit: (code: number) => void): void {
  iam
    .command('provision')
    .description('create or update a client, its secret and its policies from one file')
    .allowExcessArguments(false)
    .requiredOption('-f, --file <file>', 'the desired state, as YAML (required)')
    .option('--dry-run', 'show the plan and change nothing')
    .option(...YES)
    .action(async (flags: IamFlags) => {
      const { openAccess } = await import('./session.ts');
      const { provision } = await import('./provision.ts');
      const { loaded, connect } = await openAccess(flags);
      const { environment } = loaded.config;
      const io = { output: process.stdout, input: process.stdin };
      exit(await provision(flags, { connect, environment, cwd: process.cwd(), ...io }));
    });
}

type Leaf = (parent: Command, usage: string, about: string, load: Load) => Command;

function addClients(clients: Command, leaf: Leaf): void {
  const load = async () => (await import('./clients.ts')).CLIENT_COMMANDS;
  leaf(clients, 'list', 'list all clients, or search by name', async () => (await load()).list).option(...SEARCH);
  leaf(clients, 'get <client-id>', 'show all fields of a client', async () => (await load()).get);
  const create = leaf(
    clients,
    'create',
    'create a client, without secrets or permissions',
    async () => (await load()).create,
  );
  create
    .requiredOption('--name <name>', 'display name (required)')
    .requiredOption('--description <text>', 'purpose of the client (required)')
    .requiredOption('--scope <scope>', 'scope it may request (required; repeatable)', collect);
  const update = leaf(
    clients,
    'update <client-id>',
    'change the given fields of a client and keep the others',
    async () => (await load()).update,
  );
  update
    .option('--name <name>', 'display name')
    .option('--description <text>', 'purpose of the client')
    .option('--scope <scope>', 'scope it may request; replaces all current scopes (repeatable)', collect)
    .option('--no-redirect-uris', 'remove all redirect URIs');
  for (const command of [create, update]) {
    const fallback = command === create ? '; default: client_credentials' : '';
    command
      .option('--grant-type <type>', `grant it may use (repeatable${fallback})`, collect)
      .option('--redirect-uri <uri>', 'redirect URI for the authorization code grant (repeatable)', collect);
  }
  const about = 'delete a client with its secrets and policies';
  leaf(clients, 'delete <client-id>', about, async () => (await load()).delete).option(...YES);
}

function addSecrets(secrets: Command, leaf: Leaf): void {
  const load = async () => (await import('./secrets.ts')).SECRET_COMMANDS;
  leaf(
    secrets,
    'list <client-id>',
    'list ids, expiry dates and descriptions; IAM never returns a value',
    async () => (await load()).list,
  );
  leaf(
    secrets,
    'create <client-id>',
    'add a secret to a client; its other secrets stay valid',
    async () => (await load()).create,
  )
    .requiredOption('--description <text>', 'purpose of the secret (required)')
    .option('--expires <when>', 'for example 90d, 2027-06-30, 2027-06-30T12:00Z or never', 'never')
    .option('--out <file>', 'write the value to this new file (mode 0600)')
    .option('--force', 'with --out: replace an existing file')
    .option('--show', 'print the value, once')
    .option('--value-file <file>', 'read the value from this file instead of generating one');
  leaf(secrets, 'delete <client-id> <secret-id>', 'delete one secret', async () => (await load()).delete).option(
    ...YES,
  );
}

function addAccess(iam: Command, leaf: Leaf): void {
  const load = async () => (await import('./policies.ts')).ACCESS_COMMANDS;
  const subjects = group(iam, 'subjects', 'find the subject ids by which policies refer to clients');
  leaf(subjects, 'list', 'list the subject ids of clients', async () => (await load()).subjects).option(...SEARCH);
  leaf(
    iam,
    'permissions <client-id>',
    'list what a client may do, from all its policies',
    async () => (await load()).permissions,
  )
    .option('--resource-type <type>', 'only resources of this type, for example subscriptions')
    .option('--resource-provider <provider>', 'only resources of this provider, for example aritma.control')
    .option('--action <action>', 'only this action');
  const policies = group(iam, 'policies', 'manage policies: which subject may do what, on which scope');
  leaf(policies, 'list', 'list all policies, or filter them', async () => (await load()).policies)
    .option('--subject <subject-id>', 'only policies of this subject')
    .option('--scope <scope>', 'only policies on this scope, for example /subscriptions/123')
    .option('--action <action>', 'only policies for this action')
    .option('--include-derived', 'include policies derived from a parent action')
    .option('--include-inherited', 'include policies inherited from a parent scope');
  const one = (usage: string, about: string, command: Load) =>
    leaf(policies, usage, about, command)
      .option('--subject <subject-id>', 'subject of the policy, from iam subjects list')
      .option('--client <client-id>', 'client of the policy; its subject is looked up')
      .requiredOption('--scope <scope>', 'where, for example /subscriptions/123 (required)')
      .requiredOption('--action <action>', 'what, for example banking.pis.create (required)');
  one('create', 'create a policy; it takes effect at once', async () => (await load()).createPolicy);
  const about = 'delete a policy; the access ends at once';
  one('delete', about, async () => (await load()).deletePolicy).option(...YES);
}

const YES = ['--yes', 'do not ask for confirmation; required without a terminal'] as const;
const SEARCH = ['--search <text>', 'only names that contain this text'] as const;

function group(parent: Command, name: string, about: string): Command {
  return parent.command(name).description(about).helpCommand(false);
}

/** Adds the flags that every IAM command takes. */
function addConnection(command: Command): void {
  if (command.commands.length > 0) {
    for (const each of command.commands) addConnection(each);
    return;
  }
  command
    .optionsGroup('Connection and output:')
    .option('--config <file>', 'configuration file (ARITMA_CONFIG; default: aritma-sidecar.yaml)')
    .option('--environment <name>', 'dev, prod, emulator or none (ARITMA_ENVIRONMENT)')
    .option('--iam-url <url>', 'base URL of Aritma IAM (ARITMA_IAM_URL)')
    .option('--credential <name>', 'credential for IAM (default: iam.credential of the file, else default)')
    .option('--token-file <file>', 'file with an administrator’s access token, instead of a credential')
    .option('--json', 'print one JSON object per line, as without a terminal');
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
