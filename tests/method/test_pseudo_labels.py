"""Which pseudo-labels are believed, and which components are kept."""

import torch

from dgsweep.method.pseudo_labels import confident_labels, largest_components


def test_a_label_is_believed_from_the_confidence_on():
    probability = torch.tensor([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]).T.view(1, 2, 3, 1, 1)
    label, sure = confident_labels(probability.log(), 0.7)
    assert label.flatten().tolist()[:2] == [0, 1]
    assert sure.flatten().tolist() == [True, True, False]
    assert not confident_labels(probability.log(), 0.8)[1].any()


def test_only_the_largest_component_of_each_class_and_sample_is_left():
    label = torch.zeros(2, 6, 3, 3, dtype=torch.long)
    label[0, 0, 0, 0], label[0, 2:4, 0, 0], label[0, 5, 2, 2], label[0, 0, 2, 2] = 1, 1, 2, 2
    label[0, 0, 2, 1] = 2
    label[1, 4, 1, 1] = 1
    kept = largest_components(label)
    expected = label.clone()
    expected[0, 0, 0, 0], expected[0, 5, 2, 2] = 0, 0
    assert torch.equal(kept, expected)
    assert not torch.equal(kept, label)
    assert torch.equal(largest_components(torch.zeros_like(label)), torch.zeros_like(label))


def test_voxels_that_share_an_edge_are_connected_and_a_corner_is_not_enough():
    label = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    label[0, 0, 0, 0] = label[0, 0, 1, 1] = 1
    assert int(largest_components(label).sum()) == 2
    label[0, 0, 1, 1], label[0, 1, 1, 1] = 0, 1
    assert int(largest_components(label).sum()) == 1
