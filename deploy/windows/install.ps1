<#
.SYNOPSIS
  Installs aritma-sidecar as a Windows service, or updates one that is there. Run as administrator.
.PARAMETER Executable
  aritma-sidecar-win-x64.exe of the release.
.PARAMETER WinSW
  WinSW-x64.exe, 2.12 or later, from its own releases.
.PARAMETER ClientId
  OAuth client id. Needed the first time.
.PARAMETER Environment
  prod or dev. Used the first time.
.PARAMETER Destination
  Where it is installed.
.EXAMPLE
  .\install.ps1 -Executable .\aritma-sidecar-win-x64.exe -WinSW .\WinSW-x64.exe -ClientId my-erp
#>
[CmdletBinding()]
param(
  [Parameter(Mandatory = $true)][string] $Executable,
  [Parameter(Mandatory = $true)][string] $WinSW,
  [ValidatePattern('^[A-Za-z0-9._-]*$')][string] $ClientId = '',
  [ValidateSet('prod', 'dev')][string] $Environment = 'prod',
  [string] $Destination = "$env:ProgramFiles\aritma-sidecar"
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$Account = 'NT SERVICE\aritma-sidecar'
# By number, because their names differ from language to language.
$Administrators = '*S-1-5-32-544'
$System = '*S-1-5-18'
$Users = '*S-1-5-32-545'

function Invoke-Checked([string] $Program, [string[]] $Arguments) {
  & $Program @Arguments
  if ($LASTEXITCODE -ne 0) { throw "$Program $($Arguments -join ' ') ended with $LASTEXITCODE" }
}

# Nobody but those named: what a folder inherits from Program Files would let every user read.
function Set-Access([string] $Path, [string[]] $Grants) {
  Invoke-Checked 'icacls.exe' (@($Path, '/inheritance:r', '/grant:r') + $Grants + @('/Q'))
}

# Typed and not an argument, which would be in the history and in the list of processes.
function Write-Secret([string] $Path) {
  $typed = Read-Host -AsSecureString "Client secret of $ClientId"
  $pointer = [Runtime.InteropServices.Marshal]::SecureStringToBSTR($typed)
  try {
    [IO.File]::WriteAllText($Path, [Runtime.InteropServices.Marshal]::PtrToStringBSTR($pointer))
  } finally {
    [Runtime.InteropServices.Marshal]::ZeroFreeBSTR($pointer)
  }
}

# Shows what is wrong and what to do; its exit code. Run where the service runs: paths in the configuration are relative to that.
function Invoke-Doctor {
  Push-Location (Split-Path $config)
  try { & $program check --config $config | Out-Host } finally { Pop-Location }
  return $LASTEXITCODE
}

$service = Join-Path $Destination 'aritma-sidecar.exe'
$isUpdate = $null -ne (Get-Service 'aritma-sidecar' -ErrorAction SilentlyContinue)
if (-not $isUpdate -and $ClientId -eq '') { throw 'Give -ClientId: this is the first installation.' }
if ($isUpdate) { Stop-Service 'aritma-sidecar' }

foreach ($folder in @('', 'config', 'secret', 'audit', 'logs')) {
  New-Item -ItemType Directory -Force -Path (Join-Path $Destination $folder) | Out-Null
}
# Closed before anything secret is put there. The service's account exists only once the service does.
Set-Access $Destination @("${Administrators}:(OI)(CI)F", "${System}:(OI)(CI)F", "${Users}:(OI)(CI)RX")
foreach ($folder in @('config', 'secret', 'audit', 'logs')) {
  Set-Access (Join-Path $Destination $folder) @("${Administrators}:(OI)(CI)F", "${System}:(OI)(CI)F")
}

$program = Join-Path $Destination 'aritma-sidecar-win-x64.exe'
# The one there is stays beside it, for the way back.
if (Test-Path $program) { Move-Item -Force $program "$program.previous" }
Copy-Item -Force $Executable $program
Copy-Item -Force $WinSW $service
Copy-Item -Force (Join-Path $PSScriptRoot 'aritma-sidecar.xml') (Join-Path $Destination 'aritma-sidecar.xml')

$config = Join-Path $Destination 'config\aritma-sidecar.yaml'
if (-not (Test-Path $config)) {
  (Get-Content -Raw (Join-Path $PSScriptRoot 'aritma-sidecar.yaml')) `
    -replace 'CLIENT-ID', $ClientId -replace 'environment: prod', "environment: $Environment" |
    Set-Content -NoNewline -Encoding ASCII $config
}

$secret = Join-Path $Destination 'secret\aritma'
if (-not (Test-Path $secret)) {
  Write-Secret $secret
  # 5: refused. Whatever else is wrong is said, and need not be mended before the service is there.
  while ((Invoke-Doctor) -eq 5) {
    Remove-Item -Force $secret
    Write-Warning 'The identity server refuses client id and secret. Type the secret again, or press Ctrl-C and correct the client id.'
    Write-Secret $secret
  }
}

if (-not $isUpdate) { Invoke-Checked $service @('install') }
# Rotation writes the new secret and its journal beside the old one.
$rights = @{ config = 'RX'; secret = 'M'; audit = 'M'; logs = 'M' }
foreach ($folder in $rights.Keys) {
  Set-Access (Join-Path $Destination $folder) @(
    "${Administrators}:(OI)(CI)F", "${System}:(OI)(CI)F", "${Account}:(OI)(CI)$($rights[$folder])"
  )
}

Start-Service 'aritma-sidecar'
& $program wait --admin 127.0.0.1:7090 --max 30s
if ($LASTEXITCODE -ne 0) {
  Invoke-Doctor | Out-Null
  throw "The service is installed but does not serve: see above, and its log in $(Join-Path $Destination 'logs')"
}
Write-Output "aritma-sidecar runs; its log is in $(Join-Path $Destination 'logs')"
