/** The files under deploy/ as their programs read them. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export const DEPLOY = join(import.meta.dirname, '../../deploy');
export const RULE_FILES = ['recording.rules.yaml', 'alerts.rules.yaml'].map((name) => join(DEPLOY, 'prometheus', name));
export const RULE_TESTS = globSync('prometheus/tests/*.test.yaml', { cwd: DEPLOY }).map((name) => join(DEPLOY, name));

export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Recording {
  readonly record: string;
  readonly expr: string;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

export interface Dashboard {
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

export const readText = (name: string) => readFileSync(join(DEPLOY, name), 'utf8');
export const readYaml = (file: string): unknown => parse(readFileSync(file, 'utf8'));

function rules(): (Alert | Recording)[] {
  const files = RULE_FILES.map((file) => readYaml(file) as { groups: { rules: (Alert | Recording)[] }[] });
  return files.flatMap(({ groups }) => groups.flatMap((group) => group.rules));
}

export const alerts = () => rules().filter((rule) => 'alert' in rule);
export const recordings = () => rules().filter((rule) => 'record' in rule);
export const dashboard = () => JSON.parse(readText('grafana/dashboard.json')) as Dashboard;

/** Every query of the dashboard's panels, with all values of its variables. */
export function dashboardQueries(): { panel: string; expr: string }[] {
  return dashboard().panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      panel: title,
      expr: expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(instance|route|credential)\b/g, '.*'),
    })),
  );
}
