//! Layer widths → the architecture of a network: a chain of fully connected blocks.
//!
//! A block is dense → batch normalization → skip connection from an earlier block → ReLU → dropout. All but the dense
//! layer are optional. Blocks count from 0.

use serde::{Deserialize, Serialize};

/// Default dropout rate (Srivastava et al. 2014 use 0.5 on much wider layers).
pub const DROPOUT: f32 = 0.1;

/// One block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LayerShape {
    pub(crate) outputs: usize,
    /// Batch normalization (Ioffe & Szegedy 2015).
    pub(crate) batch_norm: bool,
    /// Skip connection: index of the earlier block of the same width whose output is added (He et al. 2016).
    pub(crate) add: Option<usize>,
    /// Whether ReLU is applied.
    pub(crate) relu: bool,
    /// Dropout rate, 0 to less than 1. In training the remaining values are scaled up to keep the mean.
    pub(crate) dropout: f32,
}

impl LayerShape {
    /// A dense layer only.
    pub(crate) fn linear(outputs: usize) -> Self {
        Self { outputs, ..Self::default() }
    }

    /// A dense layer with ReLU.
    pub(crate) fn relu(outputs: usize) -> Self {
        Self { outputs, relu: true, ..Self::default() }
    }
}

/// A chain of blocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetworkShape {
    pub(crate) inputs: usize,
    /// First to last.
    pub(crate) layers: Vec<LayerShape>,
    /// Index of the latent block.
    pub(crate) latent_layer: usize,
}

impl NetworkShape {
    /// An autoencoder: `hidden` widths with ReLU, then a linear layer as wide as the input. The latent layer is the
    /// narrowest hidden layer, linear unless `latent_relu`.
    pub fn autoencoder(inputs: usize, hidden: &[usize], latent_relu: bool) -> Self {
        let latent_layer = (0..hidden.len()).min_by_key(|layer| hidden[*layer]).unwrap_or(0);
        let block = |(index, width): (usize, &usize)| {
            if latent_relu || index != latent_layer { LayerShape::relu(*width) } else { LayerShape::linear(*width) }
        };
        let layers = hidden.iter().enumerate().map(block).chain([LayerShape::linear(inputs)]).collect();
        Self { inputs, layers, latent_layer }
    }

    /// A classifier: `hidden` widths with ReLU and dropout, then `outputs` logits. The latent layer is the last hidden
    /// layer.
    pub fn classifier(inputs: usize, hidden: &[usize], outputs: usize, dropout: f32) -> Self {
        let block = |width: &usize| LayerShape { dropout, ..LayerShape::relu(*width) };
        let layers = hidden.iter().map(block).chain([LayerShape::linear(outputs)]).collect();
        Self { inputs, layers, latent_layer: hidden.len().saturating_sub(1) }
    }

    /// A residual classifier of five blocks with widths `width`, `width`, `width`, `width / 2`, `outputs`: the first
    /// four with dropout, the first two with batch normalization, the third with a skip connection.
    pub fn residual(inputs: usize, width: usize, outputs: usize, dropout: f32) -> Self {
        let relu = |width: usize| LayerShape { dropout, ..LayerShape::relu(width) };
        let normed = |width: usize| LayerShape { batch_norm: true, ..relu(width) };
        let added = LayerShape { add: Some(0), ..relu(width) };
        let layers = vec![normed(width), normed(width), added, relu((width / 2).max(1)), LayerShape::linear(outputs)];
        Self { inputs, layers, latent_layer: 3 }
    }

    /// Output width; 0 without blocks.
    pub(crate) fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// True if every width is at least 1, every skip connection comes from an earlier block of the same width, every
    /// dropout rate is below 1 and the last block has no dropout.
    pub fn is_valid(&self) -> bool {
        let fits = |(index, layer): (usize, &LayerShape)| {
            let add = layer.add.is_none_or(|from| from < index && self.layers[from].outputs == layer.outputs);
            layer.outputs >= 1 && add && (0.0..1.0).contains(&layer.dropout)
        };
        let ends_without_dropout = self.layers.last().is_some_and(|layer| layer.dropout == 0.0);
        ends_without_dropout
            && self.inputs >= 1
            && self.latent_layer < self.layers.len()
            && self.layers.iter().enumerate().all(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_residual_classifier_has_the_documented_blocks() {
        let shape = NetworkShape::residual(30, 64, 1, DROPOUT);
        let count = |holds: fn(&LayerShape) -> bool| shape.layers.iter().filter(|layer| holds(layer)).count();
        assert_eq!(count(|_| true), 5);
        assert_eq!(count(|layer| layer.dropout > 0.0), 4);
        assert_eq!(count(|layer| layer.batch_norm), 2);
        assert_eq!(count(|layer| layer.add.is_some()), 1);
        assert!(shape.is_valid());
    }

    #[test]
    fn malformed_shapes_are_invalid() {
        let good = NetworkShape::autoencoder(48, &[24, 8, 24], false);
        assert!(good.is_valid() && good.latent_layer == 1 && good.outputs() == 48);
        let with = |change: fn(&mut NetworkShape)| {
            let mut shape = good.clone();
            change(&mut shape);
            shape.is_valid()
        };
        assert!(!with(|shape| shape.layers[0].add = Some(0)));
        assert!(!with(|shape| shape.layers[2].add = Some(1)));
        assert!(with(|shape| shape.layers[2].add = Some(0)));
        assert!(!with(|shape| shape.layers[1].outputs = 0));
        assert!(!with(|shape| shape.layers[1].dropout = 1.0));
        assert!(!with(|shape| shape.layers[3].dropout = 0.5));
        assert!(!with(|shape| shape.layers.clear()));
    }
}
