//! Operations and bytes of nodes, from their operators and shapes.

use std::collections::{HashMap, HashSet};

use socc_exporter::graph::{Attribute, Graph, Node, Value};
use socc_exporter::tensor::Dim;

use super::{Count, Precision};

/// Operators that give their operand another shape or name, and move nothing.
const VIEWS: [&str; 5] = ["Reshape", "Identity", "Unsqueeze", "Squeeze", "Flatten"];
/// Operators whose first operand is read in part: as much as they give.
const LOOKUPS: [&str; 5] = ["Gather", "GatherElements", "GatherND", "Slice", "Split"];
/// Matrix products: operators whose operands go through the matrix units.
const PRODUCTS: [&str; 3] = ["MatMul", "Gemm", "Conv"];

/// Counts the nodes of one graph.
pub struct Counter<'a> {
    graph: &'a Graph,
    /// Length of every symbolic axis.
    symbol: u64,
    /// How often the graph runs.
    runs: u64,
    consumers: HashMap<Value, Vec<&'a Node>>,
    outputs: HashSet<Value>,
    /// The value that a view shows.
    shown: HashMap<Value, Value>,
}

impl<'a> Counter<'a> {
    /// Prepares; a symbolic axis, the number of tokens, counts as `tokens` long.
    pub fn new(graph: &'a Graph, tokens: usize) -> Self {
        let mut shown: HashMap<Value, Value> = HashMap::new();
        for node in graph.nodes().iter().filter(|n| VIEWS.contains(&n.op)) {
            if let (Some(Some(from)), Some(to)) = (node.inputs.first(), node.outputs.first()) {
                let root = shown.get(from).copied().unwrap_or(*from);
                shown.insert(*to, root);
            }
        }
        let root = |v: Value| shown.get(&v).copied().unwrap_or(v);
        let mut consumers: HashMap<Value, Vec<&Node>> = HashMap::new();
        for node in graph.nodes().iter().filter(|n| !VIEWS.contains(&n.op)) {
            for input in node.inputs.iter().flatten() {
                consumers.entry(root(*input)).or_default().push(node);
            }
        }
        let outputs = graph.output_values().iter().map(|v| root(*v)).collect();
        Self {
            graph,
            symbol: tokens as u64,
            runs: 1,
            consumers,
            outputs,
            shown,
        }
    }

    /// Counts the work of so many runs of the graph.
    #[must_use]
    pub fn repeated(mut self, runs: usize) -> Self {
        self.runs = runs as u64;
        self
    }

    /// The whole graph.
    pub fn all(&self, precision: Precision) -> Count {
        self.count(self.graph.nodes().iter(), precision)
    }

    /// Work of a set of nodes, with everything that they only hand to each other kept in fast memory: no machine can do
    /// with less traffic.
    pub fn count<'n>(
        &self,
        nodes: impl IntoIterator<Item = &'n Node>,
        precision: Precision,
    ) -> Count {
        let nodes: Vec<&Node> = nodes.into_iter().collect();
        let moving = || nodes.iter().filter(|n| !VIEWS.contains(&n.op));
        let made: HashSet<Value> = moving().flat_map(|n| n.outputs.iter().copied()).collect();
        let names: HashSet<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
        let mut count = Count {
            nodes: nodes.len(),
            ..Count::default()
        };
        let mut read: HashMap<Value, u64> = HashMap::new();
        for node in moving() {
            let macs = self.macs(node);
            count.macs += macs;
            count.flops += 2 * macs + self.other_flops(node);
            for (place, input) in node.inputs.iter().enumerate() {
                let Some(value) = input.map(|v| self.root(v)).filter(|v| !made.contains(v)) else {
                    continue;
                };
                let whole = self.elements(value);
                let part = match place == 0 && LOOKUPS.contains(&node.op) {
                    true => node.outputs.iter().map(|o| self.elements(*o)).sum(),
                    false => whole,
                };
                let so_far = read.entry(value).or_insert(0);
                *so_far = (*so_far + part).min(whole);
            }
        }
        count.read_bytes = read
            .iter()
            .map(|(v, n)| n * self.width(*v, precision))
            .sum();
        let leaves = |value: &&Value| {
            let used = self.consumers.get(*value).into_iter().flatten();
            self.outputs.contains(*value) || used.into_iter().any(|n| !names.contains(&*n.name))
        };
        let written = made.iter().filter(leaves);
        count.written_bytes = written
            .map(|v| self.elements(*v) * self.width(*v, precision))
            .sum();
        count.times(self.runs)
    }

    /// Bytes of all nodes where each reads its operands from memory and writes its results there: what a back end
    /// moves that fuses nothing.
    pub fn unfused_bytes(&self, precision: Precision) -> u64 {
        let nodes = self.graph.nodes().iter();
        nodes.map(|n| self.count([n], precision).bytes()).sum()
    }

    /// Arithmetic of most of the graph's products, as its types say: int8 where their operands were dequantised.
    pub fn arithmetic(&self) -> Precision {
        let nodes = self.graph.nodes().iter();
        let dequantised = nodes.clone().filter(|n| n.op == "DequantizeLinear");
        let dequantised: HashSet<Value> = dequantised.flat_map(|n| n.outputs.clone()).collect();
        let mut macs = [
            (Precision::Graph, 0),
            (Precision::Fp16, 0),
            (Precision::Int8, 0),
        ];
        for node in nodes.filter(|n| PRODUCTS.contains(&n.op)) {
            let operand = node.inputs.first().copied().flatten().map(|v| self.root(v));
            let place = match operand {
                Some(v) if dequantised.contains(&v) => 2,
                Some(v) if self.graph.dtype(v).size_bytes() == 2 => 1,
                _ => 0,
            };
            macs[place].1 += self.macs(node);
        }
        let most = macs
            .into_iter()
            .reduce(|a, b| if b.1 > a.1 { b } else { a });
        most.map_or(Precision::Graph, |(precision, _)| precision)
    }

    fn root(&self, value: Value) -> Value {
        self.shown.get(&value).copied().unwrap_or(value)
    }

    fn shape(&self, value: Value) -> Vec<u64> {
        let axes = self.graph.shape(value).iter();
        axes.map(|d| match d {
            Dim::Fixed(n) => *n as u64,
            Dim::Symbol(_) => self.symbol,
        })
        .collect()
    }

    fn elements(&self, value: Value) -> u64 {
        self.shape(value).iter().product()
    }

    /// Bytes of one element.
    fn width(&self, value: Value, precision: Precision) -> u64 {
        let dtype = self.graph.dtype(value);
        let own = dtype.size_bytes() as u64;
        if !dtype.is_float() || precision == Precision::Graph {
            return own;
        }
        let users = self.consumers.get(&value).map_or(&[][..], Vec::as_slice);
        let operand = |n: &&Node| {
            let operands = n.inputs.iter().take(2).flatten();
            PRODUCTS.contains(&n.op) && operands.into_iter().any(|v| self.root(*v) == value)
        };
        let narrow = precision == Precision::Int8 && !users.is_empty() && users.iter().all(operand);
        own.min(if narrow { 1 } else { 2 })
    }

    /// Elements of an operand; 0 where it is left out.
    fn operand(&self, node: &Node, place: usize) -> Option<Vec<u64>> {
        let value = node.inputs.get(place).copied().flatten()?;
        Some(self.shape(value))
    }

    /// Multiply-accumulates of a matrix product.
    fn macs(&self, node: &Node) -> u64 {
        let out = node.outputs.first().map_or(0, |v| self.elements(*v));
        let (Some(a), Some(b)) = (self.operand(node, 0), self.operand(node, 1)) else {
            return 0;
        };
        let bias = u64::from(node.inputs.get(2).copied().flatten().is_some());
        match node.op {
            "MatMul" => out * a.last().copied().unwrap_or(1),
            "Gemm" => {
                let transposed = node.attribute("transA") == Some(&Attribute::Int(1));
                out * (a.get(usize::from(!transposed)).copied().unwrap_or(1) + bias)
            }
            // The weight is [out, in / groups, ...kernel].
            "Conv" => out * (b.iter().skip(1).product::<u64>() + bias),
            _ => 0,
        }
    }

    /// Float operations of everything but matrix products. A transcendental function counts as one.
    fn other_flops(&self, node: &Node) -> u64 {
        let out = node.outputs.first().copied();
        let float = out.is_some_and(|v| self.graph.dtype(v).is_float());
        if !float {
            return 0;
        }
        let given = out.map_or(0, |v| self.elements(v));
        let taken = || self.operand(node, 0).map_or(0, |s| s.iter().product());
        match node.op {
            "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "Relu" | "Erf" | "Sigmoid" | "Log"
            | "Sin" | "Cos" | "Sqrt" | "Exp" | "Floor" | "Neg" | "Abs" | "Pow" | "Tanh"
            | "Reciprocal" => given,
            "CumSum" | "ReduceSum" | "ReduceMean" | "ReduceMax" | "MaxPool" => taken(),
            "ReduceL2" | "QuantizeLinear" | "DequantizeLinear" => 2 * taken(),
            // Largest, difference, exponential, sum, quotient.
            "Softmax" => 5 * given,
            // Mean, difference, square, variance, scaling by the deviation, weight, bias.
            "LayerNormalization" | "InstanceNormalization" | "GroupNormalization" => 7 * given,
            // Four neighbours, each weighed and added.
            "GridSample" => 8 * given,
            _ => 0,
        }
    }
}
