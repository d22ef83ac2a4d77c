/** A Homebrew formula for the ready executables, for a tap: Homebrew's own repository takes only what it builds itself. */
import type { ReleasePage } from './release-page.ts';

/** @throws Error when the release lacks an executable */
export function homebrewFormula(page: ReleasePage): string {
  const asset = (name: string, indent: string) => {
    const { url, sha256 } = page.asset(name);
    return `${indent}url ${ruby(url)}\n${indent}sha256 ${ruby(sha256)}`;
  };
  return `class AritmaSidecar < Formula
  desc ${ruby('Token-injecting reverse proxy for the Aritma APIs')}
  homepage ${ruby(page.home)}
  version ${ruby(page.version)}
  license "Apache-2.0"

  on_macos do
    depends_on arch: :arm64
${asset('aritma-sidecar-darwin-arm64', '    ')}
  end

  on_linux do
    on_arm do
${asset('aritma-sidecar-linux-arm64', '      ')}
    end
    on_intel do
${asset('aritma-sidecar-linux-x64', '      ')}
    end
  end

  resource "manual" do
${asset('aritma-sidecar.1', '    ')}
  end

  def install
    bin.install Dir["aritma-sidecar-*"].first => "aritma-sidecar"
    resource("manual").stage { man1.install "aritma-sidecar.1" }
    generate_completions_from_executable(bin/"aritma-sidecar", "completion")
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/aritma-sidecar --version")
  end
end
`;
}

/** In double quotes, `#{` would run code. */
function ruby(text: string): string {
  return JSON.stringify(text).replaceAll('#', '\\#');
}
