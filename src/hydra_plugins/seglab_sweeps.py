"""What Hydra must find in this package: how jobs of a sweep are started, which jobs there are, where studies lie.

Loaded at every start of a command, so the work itself is imported only when a sweep runs.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from seglab.sweeping.executor import Executor


class JobLauncher(Launcher):
    """Runs the jobs of a sweep in processes of their own, those that are not finished yet."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from seglab.runtime.process_group import refuse_sweep

        refuse_sweep()
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from seglab.sweeping.launch import launch

        return launch(self.config, self.hydra_context, self.executor(), job_overrides)

    @abstractmethod
    def executor(self) -> Executor:
        """What starts the processes."""


class LocalLauncher(JobLauncher):
    """On this machine, `jobs` at once, each with its share of the cores unless `threads` says how many."""

    def __init__(self, jobs: int, threads: int | None = None):
        self.jobs, self.threads = jobs, threads

    def executor(self) -> Executor:
        from seglab.sweeping.executor import LocalExecutor

        return LocalExecutor(self.jobs, self.threads)


class SlurmLauncher(JobLauncher):
    """On a cluster, each job with so many nodes and so much time, and on each node GPUs, cores and memory."""

    def __init__(
        self,
        jobs: int,
        partition: str | None,
        account: str | None,
        nodes: int,
        gpus: int,
        cpus: int,
        memory_gb: float | None,
        time_minutes: int | None,
    ):
        self.jobs, self.memory_gb, self.time_minutes = jobs, memory_gb, time_minutes
        self.parameters: dict[str, Any] = {"nodes": nodes, "tasks_per_node": 1, "cpus_per_task": cpus}
        self.parameters |= {"slurm_signal_delay_s": 120}
        self.parameters |= {"gpus_per_node": gpus} if gpus else {}
        self.parameters |= {"slurm_partition": partition} if partition else {}
        self.parameters |= {"slurm_account": account} if account else {}

    def executor(self) -> Executor:
        from seglab.planning.cluster_request import request_of
        from seglab.run_record import RUNS
        from seglab.sweeping.cluster import SlurmExecutor, check_nodes

        check_nodes(self.config, int(self.parameters["nodes"]), int(self.parameters.get("gpus_per_node", 0)))
        request = request_of(self.config, self.memory_gb, self.time_minutes)
        asked = {"mem_gb": request.memory_gb, "timeout_min": request.minutes}
        return SlurmExecutor(RUNS / "sweeps", self.jobs, {**self.parameters, **asked})


class GridSweeper(BasicSweeper):
    """Every combination of the comma-separated values, as one set of jobs."""

    def __init__(self, params: dict[str, str] | None = None):
        super().__init__(max_batch_size=None, params=params)

    def sweep(self, arguments: list[str]) -> Any:
        from seglab.sweeping.launch import finish

        assert self.hydra_context is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        (jobs,) = self.split_arguments(overrides, None)
        return finish(self.launcher.launch(jobs, initial_job_idx=0))


class SearchSweeper(BasicSweeper):
    """Jobs that Optuna draws, one batch after the other."""

    def __init__(self, params: dict[str, str] | None = None, **settings: Any):
        super().__init__(max_batch_size=None, params=params)
        self.settings = settings

    def sweep(self, arguments: list[str]) -> Any:
        from seglab.sweeping.search import Search
        from seglab.sweeping.search_settings import SearchSettings

        assert self.hydra_context is not None
        assert self.config is not None
        assert isinstance(self.launcher, JobLauncher)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        settings = SearchSettings(**self.settings)
        return Search(self.config, self.hydra_context, self.launcher.executor(), settings, overrides).run()


class StudySource(FileConfigSource):
    """Makes `experiments/<study>/study.yaml` the option `<study>` of the group `experiment`."""

    GROUP = "experiment"

    @staticmethod
    def scheme() -> str:
        return "studies"

    def load_config(self, config_path: str) -> ConfigResult:
        return super().load_config(self._file(config_path))

    def is_group(self, config_path: str) -> bool:
        return config_path == self.GROUP or (config_path == "" and os.path.isdir(self.path))

    def is_config(self, config_path: str) -> bool:
        file = self._file(config_path)
        return bool(file) and os.path.isfile(os.path.join(self.path, file))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else [self.GROUP]
        if config_path != self.GROUP or results_filter == ObjectType.GROUP:
            return []
        return sorted(name for name in os.listdir(self.path) if self.is_config(f"{self.GROUP}/{name}"))

    def _file(self, config_path: str) -> str:
        group, _, name = config_path.removesuffix(".yaml").partition("/")
        return f"{name}/study.yaml" if group == self.GROUP and name else ""


class StudySearchPath(SearchPathPlugin):
    """Lets every composition look into `experiments/`, and into `conf/` of the current folder before the package's."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from seglab.config.places import CONF, STUDIES
        from seglab.config.vocabulary import conf_here

        here = conf_here()
        ours = any(one.path in (str(CONF), f"file://{CONF}") for one in search_path.get_path())
        if ours and here is not None:  # another program on Hydra keeps its own order
            search_path.prepend("seglab-here", f"file://{here}", SearchPathQuery("main"))
        search_path.append("seglab-studies", f"studies://{STUDIES}")
