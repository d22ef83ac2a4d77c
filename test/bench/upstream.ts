/** The upstream and the identity server, as the bench uses them. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CORE, messageFrom, startNode } from './children.ts';
import type { UpstreamCount, UpstreamOrder, UpstreamPorts } from './load/upstream.ts';
import { UPSTREAM_NAME } from './subjects/subject.ts';

export interface Upstream extends UpstreamPorts {
  readonly pid: number;
  /** PEM file; a self-signed certificate. */
  readonly caFile: string | undefined;
  /** Returns the number so far. */
  tokenRequests(): Promise<number>;
  /** Responds to the token requests it has held back. */
  release(): void;
  stop(): Promise<void>;
}

const PROGRAM = join(import.meta.dirname, 'load/upstream.ts');

/** @param folder for a certificate; without it, or without the openssl program, there is no TLS */
export async function startUpstream(folder?: string): Promise<Upstream> {
  const certificate = folder === undefined ? undefined : makeCertificate(folder);
  const child = startNode(PROGRAM, certificate ? [certificate.certFile, certificate.keyFile] : [], {
    core: CORE.measuring,
  });
  const ports = await messageFrom<UpstreamPorts>(child);
  const order = (what: UpstreamOrder) => child.process.send(what);
  return {
    ...ports,
    pid: child.pid,
    caFile: certificate?.certFile,
    async tokenRequests() {
      const answer = messageFrom<UpstreamCount>(child);
      order('count');
      return (await answer).tokenRequests;
    },
    release: () => void order('release'),
    stop: child.stop,
  };
}

function makeCertificate(folder: string): { certFile: string; keyFile: string } | undefined {
  const [configFile, certFile, keyFile] = ['upstream.cnf', 'upstream.pem', 'upstream.key'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  const names = `subjectAltName = DNS:${UPSTREAM_NAME},IP:127.0.0.1`;
  writeFileSync(
    configFile,
    `[req]\ndistinguished_name = dn\nx509_extensions = own\n[dn]\n[own]\n${names}\nbasicConstraints = critical,CA:TRUE\n`,
  );
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile];
  const subject = ['-config', configFile, '-subj', `/CN=${UPSTREAM_NAME}`, '-days', '2', '-out', certFile];
  return spawnSync('openssl', ['req', '-x509', ...key, ...subject]).status === 0 ? { certFile, keyFile } : undefined;
}
