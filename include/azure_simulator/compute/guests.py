"""The system inside a virtual machine, as far as run commands and images notice it. It lives on the OS disk."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pydantic import JsonValue

from include.azure_simulator.compute.vm_section import ImageReferenceSection, RunCommandSection

_GENERALIZES = re.compile(r"\bwaagent\b[^\n;|&]*\s-{1,2}deprovision|\bsysprep(\.exe)?\b", re.IGNORECASE)
_STOPS = re.compile(r"(^|[\s;&|/])(shutdown|poweroff|stop-computer)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Guest:
    """A system: what its run commands print, the marketplace image behind it, and whether it was generalized inside."""

    run_commands: tuple[RunCommandSection, ...] = ()
    image: ImageReferenceSection | None = None
    generalized: bool = False

    def after(self, script: str) -> Guest:
        """The system after a script: ``waagent -deprovision`` and ``sysprep`` generalize it."""
        return replace(self, generalized=True) if _GENERALIZES.search(script) else self

    def output(self, script: str, os_type: str) -> JsonValue:
        """What the run command answers for a script."""
        known = next((entry for entry in self.run_commands if re.search(entry.matches, script)), None)
        stdout, stderr = (known.stdout, known.stderr) if known else ("", "")
        if os_type == "Windows":
            return {"value": [_windows("StdOut", stdout), _windows("StdErr", stderr)]}
        message = f"Enable succeeded: \n[stdout]\n{stdout}\n[stderr]\n{stderr}\n"
        return {"value": [_status("ProvisioningState/succeeded", message)]}


def stops_vm(script: str) -> bool:
    """Whether a script shuts the system down: ``sysprep ... /shutdown``, ``shutdown``, ``poweroff``."""
    return _STOPS.search(script) is not None


def _windows(stream: str, text: str) -> JsonValue:
    return _status(f"ComponentStatus/{stream}/succeeded", text)


def _status(code: str, message: str) -> JsonValue:
    return {"code": code, "level": "Info", "displayStatus": "Provisioning succeeded", "message": message}
