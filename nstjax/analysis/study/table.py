"""What ``nstjax.analysis.study.study`` found, as Markdown tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from nstjax.analysis.study.loss_terms import TERMS


def markdown_table(studies: Mapping[str, Mapping[str, Any]]) -> str:
    """Four tables: planes, segments, curvature and verdicts.

    The studies are {name of the run: {"planes": …, "segments": …, "curvature": …}}, as
    ``experiments.convexity`` writes them.
    """
    others = TERMS[1:]
    plane_heads = ["nodes above a chord: total", *others, "envelope gap: total"]
    planes = [["run", "plane", *plane_heads, *others]]
    segment_heads = ["count", "above their chord: total", *others]
    segments = [["run", "segments between", *segment_heads]]
    eigenvalue_heads = ["smallest eigenvalue", "largest", "smallest / largest"]
    curvature = [["run", "term", "at", *eigenvalue_heads]]
    verdicts = [["run", "test", *TERMS]]
    for run, study in studies.items():
        for plane, terms in study["planes"].items():
            row = [f"{terms[term]['fraction']:.3f}" for term in TERMS]
            row += [f"{terms[term]['gap']:.1e}" for term in TERMS]
            planes.append([run, plane, *row])
            verdicts.append([run, plane, *_verdicts(terms)])
        for kind, counts in study["segments"]["total"]["kinds"].items():
            row = [_share(study["segments"][term]["kinds"][kind]) for term in TERMS]
            segments.append([run, kind, str(counts["segments"]), *row])
        verdicts.append([run, "segments", *_verdicts(study["segments"])])
        for term, places in study["curvature"].items():
            for place, ends in places.items():
                row = [
                    f"{ends['smallest']:.3g} ± {ends['smallest_residual']:.1g}",
                    f"{ends['largest']:.3g} ± {ends['largest_residual']:.1g}",
                    f"{ends['smallest'] / ends['largest']:.2g}",
                ]
                curvature.append([run, term, place, *row])
    return "\n".join(map(_table, (planes, segments, curvature, verdicts)))


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *rest]) + "\n"


def _share(summary: Mapping[str, Any]) -> str:
    share = summary["violations"] / summary["segments"]
    return f"{share:.2f} ({summary['low']:.2f}–{summary['high']:.2f})"


def _verdicts(terms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [terms[term]["verdict"] for term in TERMS]
