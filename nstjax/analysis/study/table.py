"""What ``nstjax.analysis.study.study`` found, as Markdown tables."""

from collections.abc import Mapping
from typing import Any

from nstjax.analysis.study.loss_terms import TERMS

PLANE_HEADER = """\
| run | plane | nodes above a chord: total | content | style | envelope gap: total \
| content | style |
|---|---|---|---|---|---|---|---|"""
SEGMENT_HEADER = """\
| run | segments between | count | above their chord: total | content | style |
|---|---|---|---|---|---|"""
CURVATURE_HEADER = """\
| run | term | at | smallest eigenvalue | largest | smallest / largest |
|---|---|---|---|---|---|"""
VERDICT_HEADER = """\
| run | test | total | content | style |
|---|---|---|---|---|"""


def markdown_table(studies: Mapping[str, Mapping[str, Any]]) -> str:
    """Four tables: planes, segments, curvature and verdicts.

    Args:
      studies: {name of the run: {"planes": …, "segments": …, "curvature": …}}, as
        ``experiments.convexity`` writes them.
    """
    planes, segments, curvature, verdicts = [], [], [], []
    for run, study in studies.items():
        for plane, terms in study["planes"].items():
            row = [f"{terms[term]['fraction']:.3f}" for term in TERMS]
            row += [f"{terms[term]['gap']:.1e}" for term in TERMS]
            planes.append(_row(run, plane, *row))
            verdicts.append(_row(run, plane, *_verdicts(terms)))
        for kind, counts in study["segments"]["total"]["kinds"].items():
            row = [_share(study["segments"][term]["kinds"][kind]) for term in TERMS]
            segments.append(_row(run, kind, str(counts["segments"]), *row))
        verdicts.append(_row(run, "segments", *_verdicts(study["segments"])))
        for term, places in study["curvature"].items():
            for place, ends in places.items():
                curvature.append(
                    _row(
                        run,
                        term,
                        place,
                        f"{ends['smallest']:.3g} ± {ends['smallest_residual']:.1g}",
                        f"{ends['largest']:.3g} ± {ends['largest_residual']:.1g}",
                        f"{ends['smallest'] / ends['largest']:.2g}",
                    )
                )
    tables = (
        (PLANE_HEADER, planes),
        (SEGMENT_HEADER, segments),
        (CURVATURE_HEADER, curvature),
        (VERDICT_HEADER, verdicts),
    )
    return "\n\n".join("\n".join([header, *rows]) for header, rows in tables) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _share(summary: Mapping[str, Any]) -> str:
    share = summary["violations"] / summary["segments"]
    return f"{share:.2f} ({summary['low']:.2f}–{summary['high']:.2f})"


def _verdicts(terms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [terms[term]["verdict"] for term in TERMS]
