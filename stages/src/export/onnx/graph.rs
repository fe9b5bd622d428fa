//! A graph of ONNX under construction: nodes are added in the order in which they are computed, and each gives its
//! one value by name. It knows nothing of files.

use half::f16;

use super::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto, attribute_type, element,
};

/// A graph under construction.
#[derive(Default)]
pub struct GraphBuilder {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

/// A side of a tensor.
#[derive(Clone, Copy, Debug)]
pub enum Side<'a> {
    /// So many.
    Fixed(usize),
    /// As many as the caller likes; the same wherever it has this name.
    Named(&'a str),
}

impl GraphBuilder {
    /// Adds a node and gives the name of its value, which is `output`.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes,
        });
        output.to_owned()
    }

    /// A constant of 32-bit floats; one that is there already under this name is taken.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.constant(name, element::FLOAT, shape, || bytes(values, f32::to_le_bytes))
    }

    /// As [`floats`](Self::floats), of 64-bit floats.
    pub fn doubles(&mut self, name: &str, shape: &[usize], values: &[f64]) -> String {
        self.constant(name, element::DOUBLE, shape, || bytes(values, f64::to_le_bytes))
    }

    /// As [`floats`](Self::floats), of 16-bit floats.
    pub fn halves(&mut self, name: &str, shape: &[usize], values: &[f16]) -> String {
        self.constant(name, element::FLOAT16, shape, || bytes(values, f16::to_le_bytes))
    }

    /// As [`floats`](Self::floats), of integers.
    pub fn integers(&mut self, name: &str, shape: &[usize], values: &[i64]) -> String {
        self.constant(name, element::INT64, shape, || bytes(values, i64::to_le_bytes))
    }

    fn constant(&mut self, name: &str, of: i32, shape: &[usize], raw: impl FnOnce() -> Vec<u8>) -> String {
        if !self.constants.iter().any(|constant| constant.name == name) {
            self.constants.push(TensorProto {
                dims: shape.iter().map(|&side| side as i64).collect(),
                data_type: of,
                name: name.to_owned(),
                raw_data: raw(),
            });
        }
        name.to_owned()
    }

    /// The nodes that `build` adds as a graph of their own, a branch of an `If`, which gives the value that `build`
    /// names, of this element type and shape. It sees all values that are there already; its constants are this
    /// graph's.
    pub fn branch(
        &mut self,
        name: &str,
        (of, shape): (i32, &[Side]),
        build: impl FnOnce(&mut Self) -> String,
    ) -> GraphProto {
        let outer = std::mem::take(&mut self.nodes);
        let result = build(self);
        let node = std::mem::replace(&mut self.nodes, outer);
        GraphProto {
            node,
            name: name.to_owned(),
            output: vec![value(&result, of, shape)],
            ..GraphProto::default()
        }
    }

    /// The whole graph.
    pub fn finish(self, name: &str, input: Vec<ValueInfoProto>, output: Vec<ValueInfoProto>) -> GraphProto {
        GraphProto { node: self.nodes, name: name.to_owned(), initializer: self.constants, input, output }
    }
}

fn bytes<T: Copy, const N: usize>(values: &[T], to_bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|value| to_bytes(*value)).collect()
}

/// A value by its name, element type and shape.
pub fn value(name: &str, of: i32, shape: &[Side]) -> ValueInfoProto {
    let dim = shape.iter().map(|side| match side {
        Side::Fixed(length) => DimensionProto { dim_value: Some(*length as i64), dim_param: None },
        Side::Named(name) => DimensionProto { dim_value: None, dim_param: Some((*name).to_owned()) },
    });
    let shape = TensorShapeProto { dim: dim.collect() };
    let tensor = TensorTypeProto { elem_type: of, shape: Some(shape) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

fn attribute(name: &str, of: i32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: of, ..AttributeProto::default() }
}

/// An attribute that is an integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, attribute_type::INT) }
}

/// An attribute that is a float.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, attribute_type::FLOAT) }
}

/// An attribute that is a word.
pub fn word(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec()), ..attribute(name, attribute_type::STRING) }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, attribute_type::INTS) }
}

/// An attribute that is a graph.
pub fn subgraph(name: &str, value: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(value), ..attribute(name, attribute_type::GRAPH) }
}

/// The attribute of a `Cast`.
pub fn to(element: i32) -> Vec<AttributeProto> {
    vec![int("to", i64::from(element))]
}
