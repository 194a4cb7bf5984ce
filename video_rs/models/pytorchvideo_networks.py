"""The ResNets of pytorchvideo's model zoo as overrides of the one network.

Sources: pytorchvideo 0.1.5, ``pytorchvideo.models.hub.resnet``; SlowOnly is the slow pathway of SlowFast (Feichtenhofer
et al. 2019, arXiv 1812.03982), I3D that of Carreira and Zisserman (2017, arXiv 1705.07750). Fresh weights start as in
SlowFast's recipe: the last gamma of a block at 0, the classifier from N(0, 0.01).
"""

from dataclasses import replace

from video_rs.models.architecture import DEPTHS, Architecture

SLOW_R50 = Architecture(
    depths=DEPTHS[50],
    stem="plain",
    stem_temporal_kernel=1,
    stem_temporal_stride=1,
    se_ratio=0.0,
    self_gating=False,
    stochastic_depth=0.0,
    padding="symmetric",
    norm_momentum=0.1,
    initialization="tpu",
)
C2D_R50 = replace(SLOW_R50, res2_pool_temporal_stride=2, temporal_kernels=(1, 1, 1, 1))
# In I3D every other block from res3 on reaches over time.
I3D_R50 = replace(
    C2D_R50,
    stem_temporal_kernel=5,
    temporal_kernels=(3, (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1)),
)

PYTORCHVIDEO_NETWORKS = {"slow_r50": SLOW_R50, "c2d_r50": C2D_R50, "i3d_r50": I3D_R50}
