import { drawHistory } from './history.ts';
import { play } from './play.ts';

export async function main(args: readonly string[]): Promise<number> {
  const seeds = args.includes('--seeds') ? Number(args[args.indexOf('--seeds') + 1]) : 0;
  const one = args.includes('--seed') ? Number(args[args.indexOf('--seed') + 1]) : undefined;
  await play(drawHistory(0));
  for (let seed = one ?? 1; seed <= (one ?? seeds); seed += 1) {
    const began = process.cpuUsage();
    const played = await play(drawHistory(seed), { keepLines: args.includes('--trace') });
    const { user, system } = process.cpuUsage(began);
    for (const line of played.lines) process.stdout.write(`${line}\n`);
    process.stdout.write(
      `${seed} ${played.hash.slice(0, 8)} ${Math.round((user + system) / 1000)} ms, ${played.events} events, ${played.calls} calls, ${Math.round(played.simulatedMs / 86_400_000)} days ${played.violation?.message ?? ''}\n`,
    );
  }
  return 0;
}
