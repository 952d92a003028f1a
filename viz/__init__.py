"""Pictures of computations.

`graph` draws what was computed, module by module; the result is DOT text, an SVG, or data for
other tools.
"""

from tinygrad_course.viz.drawing import Graph, graph
from tinygrad_course.viz.picture import GraphCluster, GraphEdge, GraphNode

__all__ = ["Graph", "GraphCluster", "GraphEdge", "GraphNode", "graph"]
