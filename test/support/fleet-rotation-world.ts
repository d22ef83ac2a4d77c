/**
 * Members of a fleet that rotate one client secret: the real `SharedSecret`, `SecretFollower` and `rotate` over a model of the
 * store's scripts and of Aritma IAM. Members die, sleep and are cut off from the store where a test says so; between any two
 * steps that reach beyond the process, too.
 */

import { memberKeys } from '../../src/fleet/scripts.ts';
import type { ClientSecret } from '../../src/iam/api.ts';
import type { Verdict } from '../../src/iam/rotation/verification.ts';
import { allPromises, createFakeClock, type FakeClock } from './clock.ts';
import { FIRST, RotationMember, type Surroundings } from './fleet-rotation-member.ts';
import { RotationScripts } from './fleet-rotation-scripts.ts';

export interface Live extends ClientSecret {
  readonly value: string;
}

export class RotationWorld implements Surroundings {
  readonly clock: FakeClock = createFakeClock(undefined, allPromises);
  readonly members: RotationMember[] = [];
  readonly scripts: RotationScripts;
  /** At Aritma IAM. */
  live: Live[] = [];
  /** Whether tries of this secret by this member are refused, although it is live. */
  refuses: (member: string, value: string) => boolean = () => false;
  /** Called before each step of a member that reaches beyond its process. */
  onStep: (member: RotationMember, step: string) => void = () => undefined;
  mostLive = 1;
  made = 0;

  /** @param names of the members; one that ends in `-memory` has no file that it may write */
  constructor(names: readonly string[]) {
    this.scripts = new RotationScripts(
      () => Math.floor(this.clock.now().wallMs),
      (name) => {
        for (const member of this.members) member.hear(name);
      },
    );
    this.live = [{ clientSecretId: 's0', description: 'made in the portal', value: FIRST, expiresAt: undefined }];
    for (const name of names) this.members.push(new RotationMember(this, name));
    for (const member of this.members) member.start();
  }

  member(name: string): RotationMember {
    const found = this.members.find((one) => one.name === name);
    if (!found) throw new Error(`no member ${name}`);
    return found;
  }

  readonly iam: Surroundings['iam'] = {
    list: () => [...this.live],
    isLive: (value) => this.live.some((secret) => secret.value === value),
    create: ({ value, description, expiresAt }) => {
      this.made += 1;
      const clientSecretId = `s${this.made}`;
      this.live.push({ clientSecretId, description, value: value.reveal(), expiresAt });
      this.mostLive = Math.max(this.mostLive, this.live.length);
      return clientSecretId;
    },
    delete: (id) => {
      this.live = this.live.filter(({ clientSecretId }) => clientSecretId !== id);
    },
  };

  verdict(member: string, value: string): Verdict {
    return this.iam.isLive(value) && !this.refuses(member, value) ? 'accepted' : 'refused';
  }

  /** Advances in short steps until `isSo`. @throws after `limitMs` of the world's time */
  async until(isSo: () => boolean, limitMs = 600_000): Promise<void> {
    for (let passed = 0; !isSo(); passed += 100) {
      if (passed > limitMs) throw new Error(`not so after ${limitMs} ms: ${isSo}`);
      await this.clock.advance(100);
    }
  }

  /** Of the members that the store knows, live or silent. */
  hosts(): string[] {
    const [, , live, , heard] = this.scripts.run('members', memberKeys('p'), []) as string[][];
    return [live, heard].flat().flatMap((text = '') => /"host":"([\w-]+)"/.exec(text)?.[1] ?? []);
  }

  /** Members that are up and have no secret that is live, neither loaded nor in their file. */
  locked(): string[] {
    return this.members.filter((member) => member.isUp && !member.hasWorking()).map(({ name }) => name);
  }
}
