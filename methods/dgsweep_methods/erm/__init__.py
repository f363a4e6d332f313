"""ERM: pool the sources and minimise the segmentation loss. The baseline that every method is compared with."""

from dgsweep.method import MethodDeclaration

DECLARATION = MethodDeclaration(
    name="erm",
    recipe_version=1,
    summary="Empirical risk minimisation: the shared recipe, spatial augmentation and mirroring only.",
    implementation="dgsweep_methods.erm.method:Erm",
    paper="Vapnik, Statistical Learning Theory, 1998; DomainBed (Gulrajani and Lopez-Paz, ICLR 2021)",
    identity={},
)
