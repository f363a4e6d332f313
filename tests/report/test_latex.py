import dataclasses
import re
import shutil
import string
import subprocess

import pandas as pd
import pytest

from dgsweep.records.ledger import Ledger
from dgsweep.report import write_report
from dgsweep.report.latex import MOST_ROWS, TexRow, TexTable, escape, tabular

PDFLATEX = shutil.which("pdflatex")
needs_latex = pytest.mark.skipif(
    PDFLATEX is None, reason="no pdflatex on this machine (Debian: apt-get install texlive-latex-recommended)"
)
DOCUMENT = r"\documentclass{article}\usepackage{booktabs}\usepackage{longtable}\begin{document}%s\end{document}"
NASTY = "".join(chr(code) for code in range(32, 256) if chr(code).isprintable()) + "→ − – ± ≥ ’ Łódź Çelik ığ 漢 ⌂ 😀"


def compiled(folder, *bodies):
    (folder / "t.tex").write_text(DOCUMENT % "\n\n".join(bodies), encoding="utf-8")
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False)


def columns_of(text):
    return len(re.search(r"\\begin\{(?:tabular|longtable)\}\{(\w+)\}", text).group(1))


def body_lines(text):
    return [line for line in text.splitlines() if line.endswith(r"\\") and not line.startswith(r"\multicolumn")]


@pytest.fixture(scope="module")
def tables(for_papers):
    return {path.stem: path.read_text(encoding="utf-8") for path in (for_papers / "tables").glob("*.tex")}


def test_every_table_of_the_page_has_a_latex_file(tables):
    wanted = {
        "matrix_by_sequence",
        "matrix_by_domain",
        "method_by_shift",
        "method_summary",
        "distances",
        "costs",
        "networks",
    }
    assert set(tables) == wanted | {"against_pansegnet"}


def test_files_are_plain_ascii_with_booktabs_rules_and_no_vertical_lines(tables):
    for name, text in tables.items():
        assert text.isascii(), name
        assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
        assert r"\hline" not in text
        assert "|" not in text.splitlines()[1]


def test_every_row_has_as_many_cells_as_the_head(tables):
    for name, text in tables.items():
        cells = {len(re.findall(r"(?<!\\)&", line)) + 1 for line in body_lines(text)}
        assert cells == {columns_of(text)}, name


def test_every_mean_of_the_matrix_carries_its_interval_and_equals_the_csv(for_papers, tables):
    csv = pd.read_csv(for_papers / "tables/matrix_by_sequence.csv")
    row = csv[(csv["arm"] == "gin") & (csv["source_set"] == "T1W") & (csv["target"] == "T2W")].iloc[0]
    cell = f"{row['mean']:.3f} {{[}}{row['low']:.3f}, {row['high']:.3f}{{]}}"
    line = next(one for one in body_lines(tables["matrix_by_sequence"]) if one.startswith("gin & T1W"))
    assert cell in line
    assert len(re.findall(r"\{\[\}", line)) == 3


def test_bold_never_stands_without_a_word_that_says_the_same(tables):
    bold = [line for line in body_lines(tables["method_by_shift"]) if r"\textbf" in line]
    assert bold
    assert all(line.endswith((r"$\uparrow$ better \\", r"$\downarrow$ worse \\")) for line in bold)
    plain = [line for line in body_lines(tables["method_by_shift"]) if r"\textbf" not in line]
    assert not any("better" in line or "worse" in line for line in plain[1:])


def test_nothing_scored_is_said_in_the_table(build):
    output = build(finished=0)
    write_report(output)
    text = (output / "report/tables/method_summary.tex").read_text()
    assert "nothing to show yet" in text


def test_escaped_text_is_ascii_and_leaves_no_special_character_bare():
    assert escape("a_b & 50 % of #1 ~ {x}^$") == (r"a\_b \& 50 \% of \#1 \textasciitilde{} \{x\}\textasciicircum{}\$")
    assert escape("Zürich, Łódź") == r"Z\"{u}rich, {\L}\'{o}d\'{z}"
    assert escape("漢") == "{[}U+6F22{]}"
    assert escape(NASTY).isascii()
    assert escape(string.ascii_letters + string.digits) == string.ascii_letters + string.digits


def test_a_long_table_breaks_over_pages_and_a_short_one_does_not():
    assert r"\begin{longtable}" in tabular(rows_of(MOST_ROWS + 1))
    assert r"\begin{tabular}" in tabular(rows_of(MOST_ROWS))


def rows_of(count, text="x"):
    rows = tuple(TexRow(cells=(text, f"{i}")) for i in range(count))
    return TexTable(about=text, headings=("A", text), align="lr", groups=(("one", rows[:2]), ("two", rows[2:])))


@needs_latex
def test_the_tables_compile(tables, tmp_path):
    done = compiled(tmp_path, *tables.values(), tabular(rows_of(120, NASTY)))
    assert done.returncode == 0, done.stdout[-1500:]
    assert (tmp_path / "t.pdf").stat().st_size > 10_000


@needs_latex
def test_a_bare_special_character_does_not_compile(tmp_path):
    assert compiled(tmp_path, tabular(rows_of(3)).replace("x & 1", "x_1 & 1")).returncode != 0


@needs_latex
def test_names_from_the_data_cannot_become_commands(build, edit_plan, tmp_path):
    output = build()
    plan = Ledger(output).read_plan()
    named = tuple(dataclasses.replace(spec, sources_label=r"\input{/etc/hosts} 50%_x") for spec in plan.trials)
    edit_plan(output, trials=named)
    write_report(output)
    text = (output / "report/tables/matrix_by_sequence.tex").read_text()
    assert r"\input{" not in text
    assert compiled(tmp_path, text).returncode == 0
