"""The tables of the report for a paper: LaTeX with booktabs, every number with its interval, plain ASCII."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dgsweep.report.against import Against
from dgsweep.report.evidence import Evidence
from dgsweep.report.forest import ForestRow, forest_rows
from dgsweep.report.network_times import network_rows, network_table
from dgsweep.report.panels import Panel
from dgsweep.report.texts import interval, number
from dgsweep.report.totals import cost_rows, cost_table

MOST_ROWS = 45
"""A table with more rows does not fit a page: it becomes a longtable, which breaks over pages."""
_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "→": r"$\rightarrow$", "−": "$-$", "–": "--", "—": "---", "±": r"$\pm$",
    "×": r"$\times$", "·": r"$\cdot$", "≥": r"$\geq$", "≤": r"$\leq$", "’": "'", "ß": r"{\ss}", "ø": r"{\o}",
    "Ø": r"{\O}", "æ": r"{\ae}", "Æ": r"{\AE}", "å": r"{\aa}", "Å": r"{\AA}", "ł": r"{\l}", "Ł": r"{\L}", "ı": r"{\i}",
    "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
"""Brackets and stars stand in braces, because after a line's end LaTeX takes them for an option of the line break."""
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c", "\u0328": "k",
}  # fmt: skip
_MARKS = {"better": r"$\uparrow$ better", "worse": r"$\downarrow$ worse"}


@dataclass(frozen=True, kw_only=True)
class TexRow:
    """Cells as a reader sees them; `bold` rows say the same in words in one of their cells."""

    cells: tuple[str, ...]
    mark: str = ""
    """LaTeX of a last cell."""
    bold: int | None = None
    """Place of the cell that is set in bold."""


@dataclass(frozen=True, kw_only=True)
class TexTable:
    """A table: headings (`l` or `r` by `align`), and rows under group headings ('' for none)."""

    about: str
    headings: tuple[str, ...]
    align: str
    groups: tuple[tuple[str, tuple[TexRow, ...]], ...]


def latex_tables(evidence: Evidence, found: Sequence[Panel], beside: Against | None) -> dict[str, str]:
    """File name -> LaTeX. Cases, curves and trials are data and not tables: they are CSV only."""
    several, level = evidence.several_networks, f"{evidence.bootstrap.confidence:.0%}"
    alpha = 1.0 - evidence.bootstrap.confidence
    tables = {
        "matrix_by_sequence": _matrix(found, "by_sequence", several, level),
        "matrix_by_domain": _matrix(found, "by_domain", several, level),
        "method_by_shift": _comparison(found, "table", several, level, alpha),
        "method_summary": _comparison(found, "summary", several, level, alpha),
        "distances": _distances(found, several, level),
        "costs": _costs(evidence),
        "networks": _networks(evidence),
    }
    if beside is not None:
        tables[f"against_{beside.paper.name}"] = _against(beside)
    return {name: tabular(table) for name, table in tables.items()}


def escape(text: str) -> str:
    r"""Text as LaTeX prints it in any font encoding: specials escaped, accents as commands, the rest as `[U+XXXX]`."""
    return "".join(_letter(char) for char in unicodedata.normalize("NFC", text))


def tabular(table: TexTable) -> str:
    r"""A `tabular`, or a `longtable` where it is long, to be read by `\input`; the first line says what it needs."""
    long = sum(len(rows) for _, rows in table.groups) > MOST_ROWS
    kind, packages = ("longtable", "booktabs, longtable") if long else ("tabular", "booktabs")
    head = " & ".join(escape(heading) for heading in table.headings) + r" \\"
    lines = [f"% {escape(table.about)} Packages: {packages}.", rf"\begin{{{kind}}}{{{table.align}}}", r"\toprule", head]
    lines += [r"\midrule", r"\endhead"] if long else []
    for heading, rows in table.groups:
        lines += [] if long and heading == table.groups[0][0] else [r"\midrule"]
        lines += [rf"\multicolumn{{{len(table.headings)}}}{{l}}{{\textit{{{escape(heading)}}}}} \\"] if heading else []
        lines += [_line(row) for row in rows]
    if not any(rows for _, rows in table.groups):
        lines += [r"\midrule", rf"\multicolumn{{{len(table.headings)}}}{{l}}{{nothing to show yet}} \\"]
    return "\n".join([*lines, r"\bottomrule", rf"\end{{{kind}}}", ""])


def _letter(char: str) -> str:
    if char in _SPECIAL:
        return _SPECIAL[char]
    if " " <= char <= "~":
        return char
    parts = list(unicodedata.normalize("NFD", char))
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return f"\\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return " " if char.isspace() else f"{{[}}U+{ord(char):04X}{{]}}"


def _line(row: TexRow) -> str:
    cells = [escape(cell) for cell in row.cells]
    if row.bold is not None:
        cells[row.bold] = rf"\textbf{{{cells[row.bold]}}}"
    return " & ".join([*cells, *([row.mark] if row.mark else [])]) + r" \\"


def _names(several: bool) -> tuple[str, ...]:
    return ("Method", "Network") if several else ("Method",)


def _named(row: Any, several: bool) -> tuple[str, ...]:
    return (str(row.arm), str(row.network)) if several else (str(row.arm),)


def _groups(found: Sequence[Panel], kind: str) -> Iterator[tuple[Panel, pd.DataFrame]]:
    for panel in found:
        table = getattr(panel, kind)
        if len(table):
            yield panel, table


def _matrix(found: Sequence[Panel], kind: str, several: bool, level: str) -> TexTable:
    columns = list(dict.fromkeys(str(name) for _, table in _groups(found, kind) for name in table["target"]))
    columns.sort(key=lambda name: (name != "in-domain", name))
    groups = [(panel.title, tuple(_matrix_rows(table, columns, several))) for panel, table in _groups(found, kind)]
    return TexTable(
        about=f"Mean Dice with its {level} interval over patients; rows are sources, columns targets.",
        headings=(*_names(several), "Trained on", *columns),
        align="l" * (len(_names(several)) + 1) + "r" * len(columns),
        groups=tuple(groups),
    )


def _matrix_rows(table: pd.DataFrame, columns: Sequence[str], several: bool) -> Iterator[TexRow]:
    for _, part in table.groupby(["arm", "network", "source_set"], sort=False):
        cells = {str(row.target): f"{number(row.mean)} {interval(row.low, row.high)}" for row in _each(part)}
        first = next(_each(part))
        names = (*_named(first, several), str(first.source_set))
        yield TexRow(cells=(*names, *(cells.get(column, "–") for column in columns)))


def _comparison(found: Sequence[Panel], kind: str, several: bool, level: str, alpha: float) -> TexTable:
    groups = [
        (panel.title, tuple(_compared(row, several) for row in forest_rows(table, alpha)))
        for panel, table in _groups(found, kind)
    ]
    measured = ("Dice", "Difference to ERM", "p (Holm)", "Patients / cases", "Reading")
    return TexTable(
        about=f"Mean Dice and paired difference to ERM, each with its {level} interval over patients. Bold: a "
        "difference whose corrected p and interval agree; the last column says the same in words.",
        headings=(*_names(several), "Sources → target", *measured),
        align="l" * (len(_names(several)) + 1) + "rrrrl",
        groups=tuple(groups),
    )


def _compared(row: ForestRow, several: bool) -> TexRow:
    cells = (
        *_named(row, several),
        f"{row.shift}{' (in-domain)' if row.in_domain else ''}",
        f"{row.mean} {row.interval}",
        f"{row.difference} {row.difference_interval}".strip(),
        row.p_holm,
        f"{row.patients} / {row.cases}",
    )
    told = _MARKS.get(row.mark, escape(row.mark))
    return TexRow(cells=cells, mark=told or "{}", bold=len(cells) - 3 if row.mark in _MARKS else None)


def _distances(found: Sequence[Panel], several: bool, level: str) -> TexTable:
    groups = [(panel.title, tuple(_distance_rows(table, several))) for panel, table in _groups(found, "distances")]
    measured = ("Metric", "Mean, misses penalised", "Mean of found", "Median of found", "Missed", "Patients / cases")
    return TexTable(
        about=f"Distances in mm with {level} intervals over patients; a missed structure has its image's diagonal.",
        headings=(*_names(several), "Sources → target", *measured),
        align="l" * (len(_names(several)) + 2) + "rrrrr",
        groups=tuple(groups),
    )


def _distance_rows(table: pd.DataFrame, several: bool) -> Iterator[TexRow]:
    for row in _each(table):
        yield TexRow(
            cells=(
                *_named(row, several),
                f"{row.source_set} → {row.target}",
                str(row.metric).removesuffix("_mm").replace("_", " ").upper(),
                f"{number(row.mean, 1)} {interval(row.low, row.high, 1)}",
                f"{number(row.found_mean, 1)} {interval(row.found_low, row.found_high, 1)}",
                number(row.found_median, 1),
                f"{row.penalised} of {row.structures}",
                f"{row.patients} / {row.cases}",
            )
        )


def _costs(evidence: Evidence) -> TexTable:
    keys = ("method", "network", "trials", "steps", "forward", "wall", "range", "total")
    rows = tuple(TexRow(cells=tuple(row[key] for key in keys)) for row in cost_rows(cost_table(evidence)))
    headings = ("Method", "Network", "Trials", "Steps", "Forward passes a step", "Training, median", "Range", "Sum")
    about = "Finished trials; times are of those that ran to the end, sums of all."
    return TexTable(about=about, headings=headings, align="llrrrrrr", groups=(("", rows),) if rows else ())


def _networks(evidence: Evidence) -> TexTable:
    keys = ("name", "patch", "parameters", "flops", "time", "runs", "device")
    rows = tuple(TexRow(cells=tuple(row[key] for key in keys)) for row in network_rows(network_table(evidence)))
    headings = ("Network", "Patch x, y, z", "Parameters", "Multiply-accumulates", "Time", "Passes", "On")
    about = "One forward pass of one patch at inference; time is the mean and standard deviation of single passes."
    return TexTable(about=about, headings=headings, align="llrrrrl", groups=(("", rows),) if rows else ())


def _against(beside: Against) -> TexTable:
    groups = [
        (
            group.heading,
            tuple(
                TexRow(cells=(row.method, row.shift, row.role, f"{row.dice} {row.spread}", row.hd95, row.assd))
                for row in group.rows
            ),
        )
        for group in (*beside.theirs, *beside.ours)
    ]
    return TexTable(
        about=f"{beside.paper.title} and this sweep. Not a ranking: scans, splits, budgets and the counting of misses "
        "differ.",
        headings=("Method", "Sources → target", "Where", "Dice", "HD95 (mm)", "ASSD (mm)"),
        align="lllrrr",
        groups=tuple(groups),
    )


def _each(rows: pd.DataFrame) -> Iterator[Any]:
    yield from rows.itertuples()
