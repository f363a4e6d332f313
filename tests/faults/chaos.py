"""Kill a sweep at random moments, again and again, and compare what it leaves with an undisturbed run.

    python tests/faults/chaos.py --kills 100 --seed 7 --folder runs/chaos

One line a kill. Aborted and started again, it goes on counting. The result is `chaos.json` in the folder; the exit code
is 1 when a table differs, a trial was lost or trained again, or MLflow has a run too many.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

PATIENT = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",  # Ray ends every process whose head does not answer for so long
    "RAY_health_check_timeout_ms": "60000",
}
"""A busy machine must not kill in our place: what Ray takes for dead was killed by us."""
os.environ.update(PATIENT)

from fault_cluster import CONTROLLER, DESK, TUNE_PART, WORKER, FaultCluster  # noqa: E402
from fault_sweep import CHECKPOINT_EVERY, FaultSweep, make_phantom, nice_environment  # noqa: E402

SHARES = {"worker": 51, "desk": 5, "controller": 8, "tune_part": 8, "raylet": 13, "driver": 12, "everything": 3}
"""Kills of each kind in a hundred."""
WAIT_S = (0.5, 9.0)
IN_TRAINING = 0.7
"""Share of the kills that wait until a trial trains; the others may hit starts, scoring, gaps and ends as well."""
TITLES = {"worker": (WORKER,), "controller": (CONTROLLER,), "tune_part": TUNE_PART, "desk": (DESK,)}
SWEEP = {"seeds": 6, "steps": 100, "pause_s": 0.12}


def kinds(kills: int, rng: random.Random) -> list[str]:
    """What is killed, in a random order, with the shares above."""
    wanted = [kind for kind, share in SHARES.items() for _ in range(max(1, round(share * kills / 100)))]
    rng.shuffle(wanted)
    return wanted[:kills] if len(wanted) >= kills else [*wanted, *["worker"] * (kills - len(wanted))]


class Chaos:
    """State of the whole run: a list of kills and of finished rounds, on disk after every one."""

    def __init__(self, folder: Path, kills: int, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.file = folder / "chaos.json"
        folder.mkdir(parents=True, exist_ok=True)
        found = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.kills: list[dict[str, Any]] = found.get("kills", [])
        self.rounds: list[dict[str, Any]] = found.get("rounds", [])
        self.notes: list[str] = found.get("notes", [])
        self.wanted = kills
        self.order = kinds(kills, random.Random(seed))
        self.rng = random.Random(f"{seed} {len(self.kills)}")
        self.manifest = folder / "phantom" / "manifest.csv"
        if not self.manifest.exists():
            make_phantom(folder / "phantom")

    def save(self) -> None:
        text = {"seed": self.seed, "kills": self.kills, "rounds": self.rounds, "notes": self.notes}
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(text, indent=1))
        temporary.replace(self.file)

    def sweep(self, name: str) -> FaultSweep:
        return FaultSweep(folder=self.folder / name, manifest=self.manifest, **SWEEP)

    def undisturbed(self) -> FaultSweep:
        """The same sweep on the same cluster without a kill."""
        sweep = self.sweep("undisturbed")
        if len(sweep.finished()) < sweep.seeds:
            with FaultCluster(**sweep.variables) as cluster:
                began = time.monotonic()
                code = sweep.run("--address", cluster.address, timeout_s=1800)
            if code:
                raise SystemExit(f"the undisturbed run exited {code}:\n{sweep.log()[-3000:]}")
            say(f"undisturbed: {sweep.seeds} trials in {time.monotonic() - began:.0f} s")
        return sweep

    def run(self) -> bool:
        """Rounds until the kills are done; whether all went well."""
        say(f"seed {self.seed}, {len(self.kills)} of {self.wanted} kills done before")
        reference = self.undisturbed().table()
        while len(self.kills) < self.wanted or self.is_open():
            Round(self, len(self.rounds), reference).run()
        self.save()
        return all(not entry["wrong"] for entry in self.rounds)

    def is_open(self) -> bool:
        """Whether the last kill fell into a round that has not ended."""
        return bool(self.kills) and self.kills[-1]["round"] == len(self.rounds)


class Round:
    """One sweep, killed until it is done."""

    def __init__(self, chaos: Chaos, number: int, reference: pd.DataFrame) -> None:
        self.chaos, self.number, self.reference = chaos, number, reference
        self.sweep = chaos.sweep(f"round-{number}")
        self.seen = self.sweep.finished()
        self.wrong: list[str] = []
        self.driver: Any = None
        self.drivers = 0

    def run(self) -> None:
        began = time.time()
        with FaultCluster(**self.sweep.variables) as cluster:
            while not self.is_over(cluster):
                if len(self.chaos.kills) < self.chaos.wanted:
                    self.kill_one(cluster)
                else:
                    time.sleep(1)
        self.judge(time.time() - began)

    def is_over(self, cluster: FaultCluster) -> bool:
        """Start the driver where none runs; True when it ended by itself with everything done."""
        self.watch()
        code = None if self.driver is None else self.driver.poll()
        if code == 0:
            return True
        if self.driver is None or code is not None:
            if code not in (None, -signal.SIGKILL):
                self.chaos.notes.append(f"round {self.number}: the driver ended with {code} after kill "
                                        f"{len(self.chaos.kills)}: {self.sweep.log()[-600:]}")  # fmt: skip
                say(self.chaos.notes[-1])
            self.driver = self.sweep.start("--address", cluster.address)
            self.drivers += 1
        return False

    def watch(self) -> None:
        """A trial that was finished once must stay as it is."""
        now = self.sweep.finished()
        for trial_id, written in self.seen.items():
            if now.get(trial_id) != written:
                self.wrong.append(f"trial {trial_id} was finished, and was written again")
        self.seen = now

    def kill_one(self, cluster: FaultCluster) -> None:
        """Wait for a random time, then kill one living process of the kind that is next."""
        kind = self.chaos.order[len(self.chaos.kills)]
        wants_training = self.chaos.rng.random() < IN_TRAINING
        while wants_training and not self.trains():
            time.sleep(0.2)
            if self.driver.poll() is not None:
                return
        until = time.monotonic() + self.chaos.rng.uniform(*WAIT_S)
        while time.monotonic() < until:
            time.sleep(0.2)
            if self.driver.poll() is not None:
                return
        steps, at = self.last_steps(), time.time()
        killed = self.hit(kind, cluster)
        while not killed and self.driver.poll() is None:
            time.sleep(0.2)
            steps, at = self.last_steps(), time.time()
            killed = self.hit(kind, cluster)
        if killed:
            self.chaos.kills.append(
                {"number": len(self.chaos.kills) + 1, "round": self.number, "kind": kind, "pids": killed,
                 "time": at, "done": len(self.seen), "steps": steps}
            )  # fmt: skip
            self.chaos.save()
            last = self.chaos.kills[-1]
            say(f"kill {last['number']}/{self.chaos.wanted} round {self.number}: {kind} {killed}, "
                f"{last['done']} trials done, last steps {last['steps']}")  # fmt: skip

    def hit(self, kind: str, cluster: FaultCluster) -> list[int]:
        """Process ids that were alive and are killed now."""
        if self.driver.poll() is not None:
            return []
        if kind in TITLES:
            found = cluster.actors(*TITLES[kind])
            return [kill(self.chaos.rng.choice(found).pid)] if found else []
        if kind == "raylet":
            pid = self.chaos.rng.choice(cluster.raylets())
            cluster.kill_raylet(pid)
            cluster.add_raylet()
            return [pid]
        pid = kill(self.driver.pid)
        self.driver.wait()
        if kind == "everything":
            cluster.kill_everything()
            cluster.start()
        return [pid]

    def trains(self) -> bool:
        """Whether a step was finished in the last two seconds."""
        log = self.sweep.step_log
        return log.exists() and time.time() - log.stat().st_mtime < 2

    def last_steps(self) -> dict[str, int]:
        """Seed -> the last step that was finished, of trials that are not through with their training."""
        last = {str(line["seed"]): line["step"] for line in self.sweep.logged_steps()}
        return {seed: step for seed, step in sorted(last.items()) if step < self.sweep.steps - 1}

    def judge(self, wall_s: float) -> None:
        """Compare with the undisturbed run."""
        self.watch()
        table, repeated = self.sweep.table(), self.sweep.repeated()
        if not table.equals(self.reference):
            self.wrong.append(f"the table differs from that of the undisturbed run ({len(table)} rows)")
        if len(self.seen) != self.sweep.seeds:
            self.wrong.append(f"{len(self.seen)} of {self.sweep.seeds} trials are done")
        if max(repeated, default=0) > CHECKPOINT_EVERY:
            self.wrong.append(f"{max(repeated)} steps were trained again, {CHECKPOINT_EVERY} are allowed")
        runs = self.sweep.trial_runs()
        if len(runs) != self.sweep.seeds or any(run.info.status != "FINISHED" for run in runs):
            self.wrong.append(f"MLflow has {[(run.info.status, run.info.lifecycle_stage) for run in runs]}")
        entry = {
            "round": self.number, "wall_s": round(wall_s, 1), "drivers": self.drivers, "trials": len(self.seen),
            "mlflow_runs": len(runs), "attempts": sum(map(len, self.sweep.attempts().values())), "repeated": repeated,
            "steps": len(self.sweep.logged_steps()), "needed_steps": self.sweep.seeds * self.sweep.steps,
            "rows": len(table), "wrong": self.wrong,
        }  # fmt: skip
        self.chaos.rounds.append(entry)
        self.chaos.save()
        say(f"round {self.number}: {json.dumps(entry)}")


def kill(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    return pid


def say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path("runs/chaos"))
    given = parser.parse_args()
    nice_environment()
    chaos = Chaos(given.folder.absolute(), given.kills, given.seed)
    well = chaos.run()
    say(f"{len(chaos.kills)} kills, seed {given.seed}: " + ("all tables equal" if well else "WRONG, see chaos.json"))
    raise SystemExit(0 if well else 1)


if __name__ == "__main__":
    main()
