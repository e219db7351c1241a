"""The system inside a virtual machine, as far as run commands and images notice it. It lives on the OS disk."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pydantic import JsonValue

from include.azure_simulator.compute.vm_section import ImageReferenceSection, RunCommandSection

_GENERALIZES = re.compile(r"\bwaagent\b[^\n;|&]*\s-{1,2}deprovision|\bsysprep(\.exe)?\b", re.IGNORECASE)
_ECHO = re.compile(r'^echo "([^"$`]*)\$\?"\s*\Z', re.MULTILINE)
_STOPS = re.compile(r"(^|[\s;&|/])(shutdown|poweroff|stop-computer)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Guest:
    """A system: what its run commands print, the marketplace image behind it, and whether it was generalized inside."""

    run_commands: tuple[RunCommandSection, ...] = ()
    image: ImageReferenceSection | None = None
    generalized: bool = False

    def fails(self, script: str) -> bool:
        """Whether a script ends with another exit code than 0."""
        return self._run(script).exit_code != 0

    def after(self, script: str) -> Guest:
        """The system after a script: ``waagent -deprovision`` and ``sysprep`` generalize it."""
        return replace(self, generalized=True) if _GENERALIZES.search(script) else self

    def output(self, script: str, os_type: str) -> JsonValue:
        """What the run command answers for a script: it succeeds, whatever the script's exit code."""
        run = self._run(script)
        if os_type == "Windows":
            return {"value": [_windows("StdOut", run.stdout), _windows("StdErr", run.stderr)]}
        # Of what a shell does with a script, this much: a last line that echoes the exit code of what stands before it.
        echo = _ECHO.search(script)
        stdout = f"{run.stdout}{echo[1]}{run.exit_code}\n" if echo else run.stdout
        message = f"Enable succeeded: \n[stdout]\n{stdout}\n[stderr]\n{run.stderr}\n"
        return {"value": [_status("ProvisioningState/succeeded", message)]}

    def _run(self, script: str) -> RunCommandSection:
        known = (entry for entry in self.run_commands if re.search(entry.matches, script))
        return next(known, RunCommandSection())


def stops_vm(script: str) -> bool:
    """Whether a script shuts the system down: ``sysprep ... /shutdown``, ``shutdown``, ``poweroff``."""
    return _STOPS.search(script) is not None


def _windows(stream: str, text: str) -> JsonValue:
    return _status(f"ComponentStatus/{stream}/succeeded", text)


def _status(code: str, message: str) -> JsonValue:
    return {"code": code, "level": "Info", "displayStatus": "Provisioning succeeded", "message": message}
