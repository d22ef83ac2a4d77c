<#
.SYNOPSIS
  Stops and removes the aritma-sidecar service. Run as administrator.
.PARAMETER Destination
  Where it was installed.
.PARAMETER RemoveFiles
  Also removes the program, configuration, secret, logs and audit log. Without it, everything but the service stays.
#>
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
param(
  [string] $Destination = "$env:ProgramFiles\aritma-sidecar",
  [switch] $RemoveFiles
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$service = Join-Path $Destination 'aritma-sidecar.exe'

if ($null -ne (Get-Service 'aritma-sidecar' -ErrorAction SilentlyContinue)) {
  # Drains: running calls are finished first.
  Stop-Service 'aritma-sidecar'
  & $service uninstall
  if ($LASTEXITCODE -ne 0) { throw "$service uninstall ended with $LASTEXITCODE" }
}
if ($RemoveFiles -and $PSCmdlet.ShouldProcess($Destination, 'remove program, configuration, secret, logs and audit log')) {
  # Only a folder that this was installed in.
  if (-not (Test-Path (Join-Path $Destination 'aritma-sidecar.xml'))) { throw "$Destination holds no aritma-sidecar" }
  Remove-Item -Recurse -Force $Destination
}
Write-Output 'aritma-sidecar is not a service any more'
