# The plan of this scale, and names that wildcards may take. Nothing here imports torch: this
# file is read again by every cluster job.
import os
import re
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)
# For scripts: see the one file in this folder.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [
        f"{workflow.basedir}/workflow/start",
        *filter(None, [os.environ.get("PYTHONPATH")]),
    ]
)

# For scripts as well: they end with the Snakemake that started them, see lossless_inr/jobs.py.
os.environ["LOSSLESS_INR_WORKFLOW"] = str(os.getpid())

from lossless_inr import files
from lossless_inr.datasets.table import whole_name
from lossless_inr.errors import UserError
from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config
from lossless_inr.fitting import digests
from lossless_inr.report.sources import report_digest
from lossless_inr.schema import validate as validate_data
from lossless_inr.snakemake_errors import in_one_line
from lossless_inr.snakemake_notes import in_folders

in_one_line()
in_folders()

# On a network file system a script waits for files as long as Snakemake would.
if workflow.execution_settings is not None:
    os.environ[files.LATENCY] = str(workflow.execution_settings.latency_wait)

try:
    CONFIG = validate_data(Config, config, "config")
    PLAN = Plan(CONFIG)
except UserError as problem:
    raise WorkflowError(str(problem)) from None

SCALE = PLAN.scale
SHARDS = PLAN.shards()
SIGNALS = list(dict.fromkeys(fit.signal for fit in PLAN.all_fits))
# The whole images of those whose top bits are fitted: what their expansions are compared with.
SIGNALS += [s for s in dict.fromkeys(map(whole_name, SIGNALS)) if s not in SIGNALS]
TABLES = [n for n, e in PLAN.experiments.items() if e.layout == "table"]
FIGURES = [n for n, e in PLAN.experiments.items() if e.layout != "table"]


def one_of(names):
    """Regular expression for exactly these names; never matches when there is none."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    scale=re.escape(SCALE),
    signal=one_of(SIGNALS),
    dataset=r"[^/]+",
    shard=one_of(SHARDS),
    table=one_of(TABLES),
    figure=one_of(FIGURES),


def prepared(signal):
    """File of a prepared signal."""
    return f"data/prepared/{signal}.npz"


# Data set -> its signals in this plan, for sets that are fetched.
FETCHED = {}
for one in SIGNALS:
    if PLAN.catalog.find(one)[0].fetched:
        FETCHED.setdefault(one.split("/")[0], []).append(one)


def stamps(signal):
    """What must be fetched before a signal can be prepared."""
    dataset = signal.split("/")[0]
    return [f"data/raw/{dataset}.fetched"] if dataset in FETCHED else []


def fits_of(specs):
    """Fits as plain data, for a script."""
    return [spec.model_dump() for spec in specs]
