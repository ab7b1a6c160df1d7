"""A user's folder: settings, a VCF and its reference, and what came of the jobs submitted from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds

from raygen.tables.layout import RunFolder, read_scores
from tests.builders import fasta, random_bases, snvs, vcf
from tests.slurm.slurm_cluster import SlurmCluster, wait_until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "infra/slurm/score.sbatch"
SLOW_JOB = ROOT / "tests/slurm/slow_score.py"
CONTIGS = ("1", "2", "3", "4", "5", "6")
VARIANTS_A_CONTIG = 40
_SETTINGS = """\
input: {variants: variants.vcf, reference: reference.fa}
model: {name: demo, device: cpu}
window: {left: 32, right: 32}
scoring: {keep_every: 2}
output: {path: scores}
cluster: {actors: 2}
"""


class BatchFolder:
    """240 SNVs and one record that is rejected, on six contigs and so in six shards."""

    def __init__(self, cluster: SlurmCluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        bases = {contig: random_bases(VARIANTS_A_CONTIG + 100, seed) for seed, contig in enumerate(CONTIGS)}
        fasta(folder, bases)
        positions = range(1, VARIANTS_A_CONTIG + 1)
        records = [record for contig in CONTIGS for record in snvs(contig, bases[contig], positions)]
        vcf(folder, [*records, f"{CONTIGS[-1]} {VARIANTS_A_CONTIG + 1} . N A"], contigs=CONTIGS)
        (folder / "run.yaml").write_text(_SETTINGS)

    def submit(
        self, *options: str, nodes: int = 2, slow: bool = False, overrides: tuple[str, ...] = (), **environment: str
    ) -> int:
        """The number of a job that scores this folder."""
        environment = {"RAYGEN_HOME": str(ROOT), "PYTHONPATH": str(ROOT), **environment}
        if slow:
            environment["RAYGEN_JOB"] = str(SLOW_JOB)
        arguments = [word for override in overrides for word in ("--set", override)]
        resources = [f"--nodes={nodes}", "--gpus-per-node=0", "--cpus-per-task=2"]
        return self.cluster.submit(
            self.folder, *resources, *options, str(SCRIPT), "run.yaml", *arguments, **environment
        )

    def output(self, number: int) -> str:
        """What the user reads."""
        path = self.folder / f"slurm-{number}.out"
        return path.read_text() if path.exists() else ""

    def ray_log(self, number: int) -> str:
        """What Ray wrote; empty where a success took it away."""
        path = self.folder / f"ray-{number}.log"
        return path.read_text() if path.exists() else ""

    def num_committed(self) -> int:
        """Scores that are in the table."""
        return len(read_scores(str(self.folder / "scores"))) if (self.folder / "scores/scores").exists() else 0

    def wait_until_half_way(self, number: int) -> None:
        """Some scores are committed and some are not."""

        def is_half_way() -> bool:
            assert self.cluster.job(number)["JobState"] in {"PENDING", "CONFIGURING", "RUNNING"}, self.output(number)
            return self.num_committed() > 0

        wait_until(is_half_way, f"the first scores of job {number}", 600)
        assert self.num_committed() < len(CONTIGS) * VARIANTS_A_CONTIG

    def assert_all_is_scored_once(self) -> None:
        """Every variant is in the table once, the bad record in the rejects, and nothing unfinished is left."""
        out = self.folder / "scores"
        names = read_scores(str(out))["variant_id"].to_pylist()
        assert len(names) == len(set(names)) == len(CONTIGS) * VARIANTS_A_CONTIG
        assert ds.dataset(out / "rejects").to_table()["reason"].to_pylist() == ["non_acgt_allele"]
        assert RunFolder(str(out)).list_work() == []
        verified = subprocess.run(
            [Path(sys.executable).parent / "raygen", "verify", out], capture_output=True, text=True
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert not list(self.folder.glob(".raygen-*"))
