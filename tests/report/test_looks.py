"""Colours and heights of figures."""

from report_sweep import SWEEP, Sweep, write_sweep

from dgsweep.report.evidence import read_evidence
from dgsweep.report.looks import looks
from dgsweep.report.panels import panels
from dgsweep.report.rank_section import rank_section
from dgsweep.report.volume_section import volume_section

NETWORKS = ("unet_tiny", "nnunet")


def test_a_method_keeps_its_colour_with_every_network_and_others_have_another(tmp_path):
    write_sweep(tmp_path, Sweep(networks=NETWORKS, patients=2, seeds=(0,), finished=0))
    found = looks(read_evidence(tmp_path))
    assert {found[f"gin · {network}"].colour for network in NETWORKS} == {found["gin"].colour}
    assert found["gin"].colour != found["erm"].colour
    assert found["gin · nnunet"].marker != found["gin · unet_tiny"].marker


def test_erm_has_the_first_colour_whatever_its_neighbours_are_called(tmp_path):
    write_sweep(tmp_path, Sweep(methods=("aug", "erm"), patients=2, seeds=(0,), finished=0))
    found = looks(read_evidence(tmp_path))
    assert next(iter(found)) == "erm"


def test_volumes_use_the_method_s_colour_and_ranks_are_as_high_as_their_methods(full):
    evidence = read_evidence(full)
    main = panels(evidence)[0]
    colour = looks(evidence)["gin"].colour
    assert '"name":"gin"' in (figure := volume_section(main, evidence).figures[0]).json
    assert colour in figure.json
    assert [figure.rows for figure in rank_section(main, evidence).figures] == [len(SWEEP.methods)]
