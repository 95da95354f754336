"""Commands that are killed: ``python -m experiments.campaigns.kills --tries=40``.

Each try starts a command, kills it one to three times at random moments (half of them
right before it makes, renames or removes a file), gives it again and compares all that
it has written with what an undisturbed command writes, byte by byte but for seconds.
Nothing temporary may be left.
"""

import random
from collections.abc import Sequence

from absl import flags

from experiments.benchmarks.flag_values import no_arguments
from experiments.campaigns import campaign as common
from experiments.campaigns.contents import contents, damaged
from nstjax.commands.launcher import run_command

USAGE = __doc__ or ""
MOST_KILLS = 3
flags.adopt_module_key_flags(common)

FLAGS = flags.FLAGS


def attempt(campaign: common.Campaign, number: int, name: str) -> common.Report:
    """Kill a command, and give it again."""
    draw = random.Random(f"{FLAGS.seed} {number}")
    cache = common.random_cache(draw)
    done, faults = [], []
    with campaign.trial(number, name, cache) as trial:
        for _ in range(draw.randint(1, MOST_KILLS)):
            moment = campaign.moment(draw, name, cache)
            with trial.paused(moment) as process:
                if process is None:
                    break
                process.kill()
            change = f" ({trial.changes()[-1]})" if moment.change else ""
            done.append(f"{moment}{change}")
            faults += damaged(contents(trial.work))
        faults += campaign.faults_of_another_start(trial, name)
        kills = f"{len(done)} kill{'s' * (len(done) != 1)}"
        text = f"{cache} cache, killed {', '.join(done) or 'never'}"
        return common.Report(name, text, kills, faults, trial.output())


def main(arguments: Sequence[str]) -> int:
    """Kill and compare; returns the exit status."""
    no_arguments(arguments)
    return common.run_campaign("Commands that were killed and given again", attempt)


if __name__ == "__main__":
    run_command("kills", __name__, USAGE, main)
