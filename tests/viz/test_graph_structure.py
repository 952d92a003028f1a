"""What is drawn: operations, tensors, module frames, several results, and names."""

import numpy as np
import pytest

import tinygrad_course as tc
from tinygrad_course.errors import ArgumentError
from tinygrad_course.graph import SCOPE, Scope
from tinygrad_course.primitive import _alias


class Layer:
    """A stand-in for a module: it offers names and notes that it runs, and is no nn.Module."""

    def __init__(self, **members):
        self.members = members

    def named_modules(self, prefix=""):
        yield prefix, self
        for name, part in self.members.items():
            if isinstance(part, Layer):
                yield from part.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self):
        for path, module in self.named_modules():
            for name, part in module.members.items():
                if isinstance(part, tc.Tensor):
                    yield f"{path}.{name}" if path else name, part

    def __call__(self, *inputs):
        token = SCOPE.set(Scope(module=self, parent=SCOPE.get()))
        try:
            return self.forward(*inputs)
        finally:
            SCOPE.reset(token)


class Dense(Layer):
    def __init__(self, n_in, n_out):
        super().__init__(
            weight=tc.Tensor(np.ones((n_out, n_in), np.float32), requires_grad=True),
            bias=tc.Tensor(np.zeros(n_out, np.float32), requires_grad=True),
        )

    def forward(self, x):
        return tc.linear(x, self.members["weight"], self.members["bias"])


class Net(Layer):
    def __init__(self):
        super().__init__(first=Dense(3, 4), second=Dense(4, 2))

    def forward(self, x):
        return self.members["second"](tc.relu(self.members["first"](x)))


def leaf(*shape, name=None):
    return tc.Tensor(np.ones(shape), requires_grad=True, name=name)


def by_title(picture, title):
    (node,) = [node for node in picture.nodes if node.title == title]
    return node


def kinds(picture):
    return {node.title: node.kind for node in picture.nodes}


def arrows(picture):
    titles = {node.key: node.title for node in picture.nodes}
    return sorted((titles[e.source], titles[e.target]) for e in picture.edges)


def frame(picture, node):
    return None if node.cluster < 0 else picture.clusters[node.cluster].label


def test_operations_and_tensors_are_told_apart():
    """Each operation and tensor is one node of its own kind, with arrows along the data."""
    w, x = leaf(3, name="w"), leaf(3, name="x")
    picture = tc.viz.graph((w * x).sum())
    assert kinds(picture) == {
        "multiply": "operation",
        "sum": "operation",
        "w": "parameter",
        "x": "parameter",
        "result": "result",
    }
    assert arrows(picture) == [
        ("multiply", "sum"),
        ("sum", "result"),
        ("w", "multiply"),
        ("x", "multiply"),
    ]


def test_kinds_differ_in_more_than_colour():
    """Operations are boxes, tensors ellipses, and a result has a double border."""
    source = tc.viz.graph(leaf(3, name="w").sum()).source
    lines = {
        title: line
        for title in ("sum", "w", "result")
        for line in source.splitlines()
        if f"<b>{title}</b>" in line
    }
    assert "shape=box" in lines["sum"]
    assert "rounded" in lines["sum"]
    assert "shape=ellipse" in lines["w"]
    assert "peripheries=2" in lines["result"]


def test_shapes_and_dtypes_are_shown():
    """Every node shows its shape and a short dtype; without axes it is a scalar."""
    x = tc.Tensor(np.ones((64, 10), np.float32), requires_grad=True, name="x")
    picture = tc.viz.graph(x.sum())
    assert "64×10 f32" in by_title(picture, "x").lines
    assert "scalar f32" in by_title(picture, "sum").lines
    assert "64×10 f32" in picture.source


@pytest.mark.parametrize(
    ("dtype", "words"), [("float64", "2 f64"), ("complex128", "2 c128"), ("float16", "2 f16")]
)
def test_dtypes_are_short(dtype, words):
    """A dtype is a letter and its bits."""
    x = tc.Tensor(np.ones(2, dtype), requires_grad=True, name="x")
    assert by_title(tc.viz.graph(x * x), "x").lines == (words,)


def test_options_and_numbers_are_shown():
    """An operation shows the options it was given and the plain numbers among its inputs."""
    x = leaf(2, 3, name="x")
    picture = tc.viz.graph((2.5 * x).sum(axis=1))
    assert "axis=1" in by_title(picture, "sum").lines[0]
    assert by_title(picture, "multiply(2.5, ·)").kind == "operation"


def test_long_options_are_cut():
    """A line in a node stays short however long the option is, and the tooltip has more."""
    x = leaf(4000, name="x")
    node = tc.viz.graph(x[list(range(3000))].sum()).nodes[0]
    assert all(len(line) <= 40 for line in node.lines)


def test_a_tensor_used_often_is_one_node():
    """Using a tensor three times draws three arrows from one node."""
    x = leaf(name="x")
    picture = tc.viz.graph(x * x + x)
    assert len([node for node in picture.nodes if node.title == "x"]) == 1
    assert len([edge for edge in arrows(picture) if edge[0] == "x"]) == 3


def test_modules_are_frames_with_their_parameters():
    """Each module is a frame named by path and type that holds its operation and parameters."""
    net = Net()
    picture = tc.viz.graph(net(np.ones((5, 3), np.float32)))
    assert [c.label for c in picture.clusters] == ["Net", "first · Dense", "second · Dense"]
    assert [c.parent for c in picture.clusters] == [-1, 0, 0]
    assert frame(picture, by_title(picture, "first.weight")) == "first · Dense"
    assert frame(picture, by_title(picture, "second.bias")) == "second · Dense"
    assert frame(picture, by_title(picture, "relu")) == "Net"
    assert by_title(picture, "first.weight").kind == "parameter"
    assert by_title(picture, "result").cluster == -1


def test_a_parameter_stands_with_its_owner():
    """A parameter that an inner module is handed stands in the frame of the module that owns it."""

    class Outer(Layer):
        def forward(self, x):
            return self.members["inner"](x * 2.0)

    class Inner(Layer):
        def forward(self, x):
            return x * self.lent

    outer = Outer(scale=leaf(3), inner=Inner())
    outer.members["inner"].lent = outer.members["scale"]
    picture = tc.viz.graph(outer(leaf(3, name="x")))
    assert frame(picture, by_title(picture, "scale")) == "Outer"
    assert frame(picture, by_title(picture, "multiply")) == "inner · Inner"


def test_arrows_lead_from_the_tensor_to_its_reader():
    """In DOT the parameter on the right is written second, with its arrow turned round."""
    picture = tc.viz.graph(Dense(3, 4)(np.ones((5, 3), np.float32)))
    keys = {node.title: node.key for node in picture.nodes}
    weight, bias, linear = keys["weight"], keys["bias"], keys["linear"]
    assert f"  {weight} -> {linear} [weight=1];" in picture.source
    assert f"  {linear} -> {bias} [weight=1 dir=back];" in picture.source
    assert {(e.source, e.target) for e in picture.edges} >= {(weight, linear), (bias, linear)}


def test_a_second_name_for_a_result_is_no_operation():
    """The engine's alias of a Tensor is drawn as the Tensor itself."""
    x = leaf(2, name="x")
    picture = tc.viz.graph(_alias(x * x) + _alias(x))
    assert [n.title for n in picture.nodes] == ["multiply", "add", "result", "x"]


def test_a_given_model_gives_the_paths():
    """With model=, parts that ran on their own are named by their place in the model."""
    net = Net()
    picture = tc.viz.graph(net.members["second"](np.ones((5, 4), np.float32)), model=net)
    assert [c.label for c in picture.clusters] == ["second · Dense"]
    assert by_title(picture, "second.weight").kind == "parameter"


def test_two_calls_of_a_module_are_two_frames():
    """A module called twice has two numbered frames, and its shared weight is one node outside."""
    dense = Dense(3, 3)
    picture = tc.viz.graph(dense(dense(np.ones((2, 3), np.float32))))
    assert [c.label for c in picture.clusters] == ["Dense (call 1)", "Dense (call 2)"]
    assert by_title(picture, "weight").cluster == -1


def test_a_result_of_several_is_an_arrow():
    """The engine's bookkeeping rows are drawn as labelled arrows, never as operations."""
    x = leaf(6, name="x")
    first, second = tc.split(x, 2)
    picture = tc.viz.graph(first * second)
    assert [n.title for n in picture.nodes if n.kind == "operation"].count("multiply") == 1
    assert "select" not in picture.source
    labels = sorted(edge.label for edge in picture.edges if edge.label)
    assert labels == ["[0] 3 f64", "[1] 3 f64"]


def test_the_only_differentiable_result_needs_no_number():
    """Of slogdet's two results only one has a derivative: its shape stands in the box."""
    a = tc.Tensor(np.eye(3), requires_grad=True, name="a")
    picture = tc.viz.graph(tc.linalg.slogdet(a)[1])
    assert by_title(picture, "slogdet").lines == ("scalar f64",)
    assert all(not edge.label for edge in picture.edges)


def test_batch_norm_is_one_operation():
    """Batch norm with its three results is one box."""
    x, gamma, beta = leaf(4, 3, name="x"), leaf(3, name="gamma"), leaf(3, name="beta")
    picture = tc.viz.graph(tc.batch_norm(x, gamma, beta, eps=1e-5)[0].sum())
    operations = [node.title for node in picture.nodes if node.kind == "operation"]
    assert operations == ["batch_norm", "sum"]


def test_the_picture_survives_backward():
    """After backward the same operations and parameters are drawn, and a note says what is not."""
    net = Net()
    loss = net(np.ones((5, 3), np.float32)).sum()
    before = tc.viz.graph(loss)
    loss.backward()
    after = tc.viz.graph(loss)
    assert [n.title for n in after.nodes if n.kind in ("operation", "parameter")] == [
        n.title for n in before.nodes if n.kind in ("operation", "parameter")
    ]
    assert any("backward has dropped them" in note for note in after.notes)
    assert not before.notes


def test_a_function_is_called_with_named_inputs():
    """Arrays given to a function become inputs that bear the names of its arguments."""
    picture = tc.viz.graph(
        lambda x, y: tc.softmax_cross_entropy(x * 2.0, y), np.ones((4, 3)), np.arange(4) % 3
    )
    assert by_title(picture, "x").kind == "input"
    assert by_title(picture, "y").kind == "input"


def test_a_module_can_be_drawn_by_calling_it():
    """A module and an input array are enough: parameters keep their names, the input is one."""
    picture = tc.viz.graph(Net(), np.ones((5, 3), np.float32))
    assert by_title(picture, "x").kind == "input"
    assert by_title(picture, "first.weight").kind == "parameter"
    assert by_title(picture, "Net").kind == "result"


def test_a_function_is_recorded_inside_no_grad():
    """Drawing a function works where recording is switched off."""
    with tc.no_grad():
        picture = tc.viz.graph(lambda x: x * x, 3.0)
    assert [n.title for n in picture.nodes if n.kind == "operation"] == ["multiply"]


def test_containers_of_results_are_drawn():
    """Tuples, lists and dicts of Tensors give one result each, named by position or key."""
    x = leaf(name="x")
    assert sum(n.kind == "result" for n in tc.viz.graph((x * x, x + x)).nodes) == 2
    titles = [n.title for n in tc.viz.graph({"loss": x * x}).nodes if n.kind == "result"]
    assert titles == ["loss"]


def test_a_leaf_alone_is_drawn():
    """A Tensor that no operation made gives a picture that says so."""
    picture = tc.viz.graph(tc.Tensor(1.0, name="c"))
    assert any("No operation was recorded" in note for note in picture.notes)


def test_marks_are_shown():
    """A Tensor, a Node or a name can be marked; the text is on the picture."""
    w = leaf(2, name="w")
    y = w * 3.0
    z = y.sum()
    picture = tc.viz.graph(z, mark={y: "twice too large", "w": "wrong", z._node: "right"})
    assert by_title(picture, "multiply(·, 3)").mark == "twice too large"
    assert by_title(picture, "w").mark == "wrong"
    assert by_title(picture, "sum").mark == "right"
    assert "twice too large" in picture.source


def test_unknown_marks_are_refused():
    """A mark for something that is not drawn is an error that names it."""
    with pytest.raises(ArgumentError, match="nowhere"):
        tc.viz.graph(leaf(2, name="w").sum(), mark={"nowhere": "?"})


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((3,), {}, "got int"),
        (([],), {}, "without a Tensor"),
        ((lambda x: 3, 1.0), {}, "without a Tensor"),
        ((tc.Tensor(1.0), 2.0), {}, "not a function"),
        ((tc.Tensor(1.0),), {"budget": 0}, "budget"),
        ((tc.Tensor(1.0),), {"budget": "all"}, "budget"),
        ((tc.Tensor(1.0),), {"direction": "up"}, "direction"),
    ],
)
def test_wrong_arguments_are_refused(arguments, options, words):
    """What cannot be drawn raises an ArgumentError that says what was expected."""
    with pytest.raises(ArgumentError, match=words):
        tc.viz.graph(*arguments, **options)
