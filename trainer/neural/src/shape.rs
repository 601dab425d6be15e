//! What a network is made of before it has weights: fully connected blocks, one after the other.
//!
//! A block is dense → batch normalization → addition of an earlier block's output → ReLU → dropout, each but the first
//! optional, in this order. Widths are numbers of values; block numbers count from 0.

use serde::{Deserialize, Serialize};

/// Share of the values that dropout takes by default (Srivastava et al. 2014 use 0.5 on much wider layers).
pub const DROPOUT: f32 = 0.1;

/// One block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LayerShape {
    /// Values that come out.
    pub outputs: usize,
    /// Normalized over the batch in training (Ioffe & Szegedy 2015), by running averages afterwards.
    pub batch_norm: bool,
    /// Adds the output of this earlier block, of the same width (He et al. 2016).
    pub add: Option<usize>,
    /// Negative values become 0.
    pub relu: bool,
    /// Share of the values set to 0 in training, 0 to less than 1; the others grow so that the mean stays.
    pub dropout: f32,
}

impl LayerShape {
    /// A dense block and nothing else.
    pub fn linear(outputs: usize) -> Self {
        Self { outputs, ..Self::default() }
    }

    /// A dense block with ReLU.
    pub fn relu(outputs: usize) -> Self {
        Self { outputs, relu: true, ..Self::default() }
    }
}

/// A chain of blocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetworkShape {
    /// Values that go in.
    pub inputs: usize,
    /// First to last.
    pub layers: Vec<LayerShape>,
    /// The block whose output is the latent one.
    pub latent_layer: usize,
}

impl NetworkShape {
    /// An autoencoder: `hidden` widths with ReLU, as many outputs as inputs. The latent layer is the narrowest one, and
    /// linear unless asked.
    pub fn autoencoder(inputs: usize, hidden: &[usize], latent_relu: bool) -> Self {
        let latent_layer = (0..hidden.len()).min_by_key(|layer| hidden[*layer]).unwrap_or(0);
        let block = |(index, width): (usize, &usize)| {
            if latent_relu || index != latent_layer { LayerShape::relu(*width) } else { LayerShape::linear(*width) }
        };
        let layers = hidden.iter().enumerate().map(block).chain([LayerShape::linear(inputs)]).collect();
        Self { inputs, layers, latent_layer }
    }

    /// A classifier: `hidden` widths with ReLU and dropout, then `outputs` logits. The latent layer is the last hidden.
    pub fn classifier(inputs: usize, hidden: &[usize], outputs: usize, dropout: f32) -> Self {
        let block = |width: &usize| LayerShape { dropout, ..LayerShape::relu(*width) };
        let layers = hidden.iter().map(block).chain([LayerShape::linear(outputs)]).collect();
        Self { inputs, layers, latent_layer: hidden.len().saturating_sub(1) }
    }

    /// A residual classifier: five dense blocks, four with dropout, two with batch normalization, one that adds an
    /// earlier output; widths `width`, `width`, `width`, `width / 2`, `outputs`.
    pub fn residual(inputs: usize, width: usize, outputs: usize, dropout: f32) -> Self {
        let relu = |width: usize| LayerShape { dropout, ..LayerShape::relu(width) };
        let normed = |width: usize| LayerShape { batch_norm: true, ..relu(width) };
        let added = LayerShape { add: Some(0), ..relu(width) };
        let layers = vec![normed(width), normed(width), added, relu((width / 2).max(1)), LayerShape::linear(outputs)];
        Self { inputs, layers, latent_layer: 3 }
    }

    /// Values that come out of the last block; 0 without blocks.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// True when every width is at least 1, every addition meets an earlier block of its width, every dropout share is
    /// below 1 and the last block does not drop anything.
    pub fn is_valid(&self) -> bool {
        let fits = |(index, layer): (usize, &LayerShape)| {
            let add = layer.add.is_none_or(|from| from < index && self.layers[from].outputs == layer.outputs);
            layer.outputs >= 1 && add && (0.0..1.0).contains(&layer.dropout)
        };
        let whole = self.layers.last().is_some_and(|layer| layer.dropout == 0.0);
        whole && self.inputs >= 1 && self.latent_layer < self.layers.len() && self.layers.iter().enumerate().all(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_residual_classifier_has_the_parts_it_says() {
        let shape = NetworkShape::residual(30, 64, 1, DROPOUT);
        let count = |holds: fn(&LayerShape) -> bool| shape.layers.iter().filter(|layer| holds(layer)).count();
        assert_eq!(count(|_| true), 5);
        assert_eq!(count(|layer| layer.dropout > 0.0), 4);
        assert_eq!(count(|layer| layer.batch_norm), 2);
        assert_eq!(count(|layer| layer.add.is_some()), 1);
        assert!(shape.is_valid());
    }

    #[test]
    fn shapes_that_cannot_be_are_told_from_those_that_can() {
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
