"""A method for fault tests: ERM that writes down every step that it trains. A package on PYTHONPATH, not installed."""

from dgsweep.method import MethodDeclaration

DECLARATION = MethodDeclaration(
    name="step_log",
    recipe_version=1,
    summary="ERM that notes each finished step in a file, so that a test can count what was trained twice.",
    implementation="step_log.method:StepLog",
    identity={},
)
