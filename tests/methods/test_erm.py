"""ERM is the contract with no hook overridden; what it does is the textbook's training step."""

import torch

from dgsweep.method.catalog import load_implementation, method_declaration
from dgsweep.method.conformance import ToyNetwork, toy_batch
from dgsweep.method.context import Context
from dgsweep.method.losses import segmentation_loss
from dgsweep.method.recipe import Recipe

RECIPE = Recipe(
    budget_steps=10, learning_rate=0.05, momentum=0.9, weight_decay=1e-3, schedule="constant", grad_clip=1e9
)


def trained_by_hand(steps: int) -> ToyNetwork:
    network = ToyNetwork(1, 0).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
    for step in range(steps):
        batch = toy_batch(step)
        optimizer.zero_grad()
        segmentation_loss(network(batch.image)[0], batch.label).backward()
        optimizer.step()
    return network


def test_erm_overrides_no_hook_and_has_no_hyperparameter():
    declaration = method_declaration("erm")
    assert load_implementation(declaration)().hooks() == ()
    assert not declaration.hyperparameters


def test_erm_is_the_plain_training_loop():
    ctx = Context(ToyNetwork(1, 0).train(), load_implementation(method_declaration("erm"))(), RECIPE, n_domains=2)
    for step in range(4):
        ctx.run_step(toy_batch(step))
    by_hand, one_step_more = trained_by_hand(4), trained_by_hand(5)
    for name, value in ctx.network.state_dict().items():
        torch.testing.assert_close(value, by_hand.state_dict()[name], rtol=1e-5, atol=1e-7)
    assert not torch.equal(ctx.network.head.weight, one_step_more.head.weight)
