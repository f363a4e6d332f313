"""Fill the page's template: everything it shows is put into one mapping here."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from dgsweep.analysis.tables import undefined_counts
from dgsweep.plan.trial import content_id
from dgsweep.report import texts
from dgsweep.report.against import Against
from dgsweep.report.answer import Answer, answer, answer_at_home
from dgsweep.report.control_section import control_sections
from dgsweep.report.cost_quality import cost_figures
from dgsweep.report.evidence import Evidence
from dgsweep.report.facets import facets
from dgsweep.report.figures import (
    Beside,
    Column,
    Figure,
    distributions,
    five_numbers,
    learning_curves,
    student_curves,
)
from dgsweep.report.files import NOTHING_WRITTEN, Written
from dgsweep.report.forest import forest_rows
from dgsweep.report.grid import Grid, distance_grid, forest_grid, plain_grid, quartile_grid, script_json
from dgsweep.report.heatmap import heat_maps, scale_stops
from dgsweep.report.looks import looks
from dgsweep.report.network_times import network_rows
from dgsweep.report.observers import observer_sections, over_columns, said
from dgsweep.report.panels import RULE_MEANING, Panel, case_dice
from dgsweep.report.pictures_section import pictures
from dgsweep.report.searched import Searched
from dgsweep.report.statistics_sections import statistics_sections
from dgsweep.report.totals import (
    budget,
    cost_rows,
    idle_methods,
    in_parts,
    is_finished,
    scope,
    tiles,
    unfinished_searches,
)


def render(
    evidence: Evidence,
    found: list[Panel],
    *,
    images: bool,
    beside: Against | None = None,
    written: Written = NOTHING_WRITTEN,
    tried: Searched,
    tables: Mapping[str, pd.DataFrame],
) -> str:
    """The whole page as one HTML document, with a paper's numbers beside where one is given.

    `tables` are those of `csv_tables`: what the page shows of them is not computed again.
    """
    environment = Environment(
        loader=PackageLoader("dgsweep.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["plain_grid"] = plain_grid
    environment.filters["waiting"] = script_json
    main = main_panel(found)
    parts = {
        "facets": facets(evidence, found),
        **_totals(evidence, tables),
        **_figures(evidence, main),
        "pictures": pictures(evidence, main, images=images),
        "plotly": get_plotlyjs(),
        "main": _panel_view(main, evidence) if main else None,
        "statistics": [
            *(statistics_sections(main, evidence) if main else []),
            *control_sections(tables),
            *observer_sections(tables, evidence.observers),
        ],
        "other_statistics": [(one.title, statistics_sections(one, evidence)) for one in found if one is not main],
        "statistic_tables": [*(found[0].statistics if found else ()), *(name for name in tables if "observer" in name)],
        "others": [_panel_view(panel, evidence) for panel in found if panel is not main],
        "scale": scale_stops(),
        "confidence": f"{evidence.bootstrap.confidence:.0%}",
        "draws": evidence.bootstrap.draws,
        "provenance": _provenance(evidence),
        "against": beside,
        "written": written,
        "networks": list(network_rows(tables["networks"])),
        "searched": tried,
        "cost_figures": _cost_figures(evidence, tables),
    }
    return environment.get_template("report.html.j2").render(parts)


def main_panel(found: list[Panel]) -> Panel | None:
    """The panel that the page is about; None where no rule that looks at no target label has rows."""
    return next((panel for panel in found if panel.name == "main"), None)


def page_figures(evidence: Evidence, found: list[Panel], tables: Mapping[str, pd.DataFrame]) -> list[Figure]:
    """The interactive figures of the page, in its order."""
    parts = _figures(evidence, main_panel(found))
    curves = (figure for figures in parts["curves"].values() for figure in figures)
    return [*parts["boxes"], *curves, *_cost_figures(evidence, tables)]


def _cost_figures(evidence: Evidence, tables: Mapping[str, pd.DataFrame]) -> list[Figure]:
    named = evidence.several_networks
    return cost_figures(tables["cost_and_quality"], several_networks=named, observers=evidence.observers)


def _totals(evidence: Evidence, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    equal, sentence = budget(evidence.plan)
    states = evidence.states
    done = set(states.loc[states["state"] == "done", "trial_id"])
    ended = done | set(states.loc[states["state"] == "pruned", "trial_id"])
    return {
        "sweep": evidence.plan.sweep,
        "tiles": tiles(evidence),
        "scope": scope(evidence),
        "finished": is_finished(evidence),
        "done": len(done),
        "planned": len(evidence.plan.all_trials) + sum(evidence.plan.to_propose.values()),
        "budget_equal": equal,
        "budget": sentence,
        "unfinished_searches": unfinished_searches(evidence.plan, ended),
        "costs": list(cost_rows(tables["costs"])),
        "idle": idle_methods(evidence),
        "in_parts": in_parts(evidence),
        "failures": states[states["state"] == "failed"].to_dict("records"),
        "waiting": states[states["state"].isin(["running", "planned", "stale", "pruned"])].to_dict("records"),
        "refusals": evidence.plan.refusals,
        "notes": evidence.plan.notes,
    }


def _figures(evidence: Evidence, main: Panel | None) -> dict[str, Any]:
    several = evidence.several_networks
    compared = {spec.trial_id for spec in (*evidence.plan.compared, *evidence.plan.pretraining)}
    states = _with_network(evidence.states[evidence.states["trial_id"].isin(compared)], several)
    known = looks(evidence)
    values = _with_network(case_dice(main, evidence.level), several) if main else None
    if several:
        states = states.assign(name=states["name"] + " | " + states["network"])
    names = states.set_index("trial_id")[["arm", "source_set", "name"]]
    curves = evidence.curves.join(names, on="trial_id", how="inner")
    by_source: dict[str, list[Any]] = {}
    chosen = set(main.selected) if main else set()
    for figure in [*learning_curves(curves, known, chosen), *student_curves(curves)]:
        by_source.setdefault(figure.title.partition(": ")[0], []).append(figure)
    return {
        "boxes": distributions(values, known, _readers_of(evidence)) if values is not None else [],
        "five_numbers": quartile_grid(five_numbers(values)) if values is not None else None,
        "curves": by_source,
    }


def _readers_of(evidence: Evidence) -> Beside:
    def beside(figure: go.Figure, columns: Sequence[Column]) -> str:
        over_columns(figure, evidence.observers, columns)
        return said(evidence.observers)

    return beside


def _with_network(rows: pd.DataFrame, several: bool) -> pd.DataFrame:
    """Rows whose `arm` tells networks apart, so that no figure or quartile pools them."""
    names = zip(rows["arm"].astype(str), rows["network"].astype(str), strict=True)
    return rows.assign(arm=[texts.method_name(arm, network, several_networks=several) for arm, network in names])


def _answer(panel: Panel, evidence: Evidence) -> Answer:
    confidence = evidence.bootstrap.confidence
    if evidence.asks_for_shifts:
        return answer(panel.verdicts, panel.table, panel.summary, confidence)
    return answer_at_home(panel.table, panel.summary, confidence, several_networks=evidence.several_networks)


def _panel_view(panel: Panel, evidence: Evidence) -> dict[str, Any]:
    several = evidence.several_networks
    matrices = {"sequence": panel.by_sequence, "domain": panel.by_domain}
    shown, folded = sorted(matrices, key=lambda level: level != evidence.level)
    return {
        "key": panel.key,
        "title": panel.title,
        "rule": panel.rule,
        "rule_meaning": RULE_MEANING.get(panel.rule, ""),
        "warning": panel.warning,
        "several_networks": several,
        "answer": _answer(panel, evidence),
        "level": shown,
        "maps": heat_maps(matrices[shown], several_networks=several),
        "folded_level": folded,
        "folded_maps": heat_maps(matrices[folded], several_networks=several),
        "summary": _forest(panel.summary, "All source sets together", "method_summary", evidence),
        "shifts": _forest(panel.table, "Each shift", "method_by_shift", evidence),
        "distances": _distances(panel, several=several),
        "undefined": undefined_counts(panel.rows, evidence.plan).to_dict("records"),
        "empty": panel.empty.to_dict("records"),
        "few": bool(len(matrices[shown])) and int(matrices[shown]["patients"].min()) < 6,
    }


def _forest(table: pd.DataFrame, caption: str, csv: str, evidence: Evidence) -> Grid:
    confidence = evidence.bootstrap.confidence
    rows = forest_rows(table, 1.0 - confidence)
    return forest_grid(rows, caption, csv, several=evidence.several_networks, confidence=f"{confidence:.0%}")


def _distances(panel: Panel, *, several: bool) -> list[Grid]:
    """One table a metric, in the order of shifts, so that methods stand under each other."""
    ordered = panel.distances.sort_values(["source_set", "role", "target"], kind="stable")
    names = {"hd95_mm": "HD95", "assd_mm": "ASSD", "hd95_pooled_mm": "HD95 (pooled)"}
    parts = {name: ordered[ordered["metric"] == metric].to_dict("records") for metric, name in names.items()}
    return [distance_grid(name, map(_distance_row, rows), several=several) for name, rows in parts.items() if rows]


def _distance_row(row: Mapping[Any, Any]) -> dict[str, str]:
    return {
        "arm": f"{row['arm']}",
        "network": f"{row['network']}",
        "shift": f"{row['source_set']} → {row['target']}",
        "mean": texts.number(row["mean"], 1),
        "interval": texts.interval(row["low"], row["high"], 1),
        "found_mean": texts.number(row["found_mean"], 1),
        "found_interval": texts.interval(row["found_low"], row["found_high"], 1),
        "found_median": texts.number(row["found_median"], 1),
        "penalised": f"{row['penalised']} of {row['structures']}",
        "counts": f"{row['patients']} / {row['cases']}",
    }


def _provenance(evidence: Evidence) -> dict[str, Any]:
    fingerprints = sorted({spec.train_sha for spec in evidence.plan.trials})
    scored = sorted({sha for spec in evidence.plan.trials for sha in spec.score_shas.values()})
    rows = {
        "plan": evidence.plan.plan_id,
        "data fingerprint": content_id([fingerprints, scored]),
        "planned by": f"dgsweep {evidence.plan.version or 'of unknown version'}",
        "page written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    kinds: dict[str, set[str]] = {}
    for found in evidence.provenance.values():
        for name, value in _flat(found):
            kinds.setdefault(name, set()).add(value)
    rows |= {name: texts.listed(sorted(values), 4) for name, values in sorted(kinds.items())}
    mixed = [name for name, values in kinds.items() if len(values) > 1]
    return {"rows": rows, "mixed": mixed, "config": json.dumps(evidence.plan.config, indent=2, ensure_ascii=False)}


def _flat(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Versions and hardware of one trial; times differ by trial and stand under costs."""
    packages = found.get("packages") or {}
    plain = [
        (name, str(found[name]))
        for name in ("dgsweep", "python", "commit", "system", "cpu", "device")
        if found.get(name)
    ]
    return plain + [(str(name), str(version)) for name, version in packages.items() if version]
