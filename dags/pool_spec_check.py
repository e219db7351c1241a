"""Shows what is wrong with the pool specs, as an import error of this file. It defines no DAG.

Airflow 3.3.2 marks all DAGs of a file as stale when the file has an import error. ``golden_pools.py`` therefore passes
over the specs with faults, so that the good pools' DAGs go on, and the faults are raised here: one error that names
every bad file with all its faults. With good specs only, the file imports without a word.
"""

from __future__ import annotations

from airflow.sdk import get_parsing_context
from golden_pools.spec.loader import load_pools

if get_parsing_context().dag_id is None:  # at a task's start the DAG is known, and its own file says what is wrong
    load_pools().raise_faults()
