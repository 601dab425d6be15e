//! Artifact bytes → validated layers; the format is documented in [`super`].

use super::{BIAS_LIMIT, LATENT, LAYERS, LayerShape, MAGIC, MULTIPLIER_LIMIT, NetworkError, SHIFT_LIMIT, WIDTH};
use crate::features::FEATURES;

const HEADER_BYTES: usize = 8;
const LAYER_HEADER_BYTES: usize = 6;

/// Layers, their number, and the index of the latent layer.
type Layers = ([LayerShape; LAYERS], usize, usize);

#[inline]
pub(super) fn layers(bytes: &[u8]) -> Result<Layers, NetworkError> {
    let [m0, m1, m2, m3, count, latent, width_low, width_high] = *take::<HEADER_BYTES>(bytes, 0)?;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(NetworkError::Magic { found: [m0, m1, m2, m3] });
    }
    let (layer_count, latent_layer) = (usize::from(count), usize::from(latent));
    let input_width = u16::from_le_bytes([width_low, width_high]);
    if !(1..=LAYERS).contains(&layer_count) {
        return Err(NetworkError::LayerCount { found: count });
    }
    if usize::from(input_width) != FEATURES {
        return Err(NetworkError::InputWidth { found: input_width });
    }
    let mut layers = [LayerShape::default(); LAYERS];
    let mut inputs = FEATURES;
    let mut offset = HEADER_BYTES;
    for (index, slot) in layers.iter_mut().enumerate().take(layer_count) {
        let layer = layer(bytes, offset, index, inputs)?;
        inputs = layer.outputs;
        offset = layer.end();
        *slot = layer;
    }
    if bytes.len() != offset {
        return Err(NetworkError::Trailing { expected: offset, found: bytes.len() });
    }
    check_ends(layers.get(..layer_count).unwrap_or(&[]), latent_layer)?;
    Ok((layers, layer_count, latent_layer))
}

#[inline]
fn layer(bytes: &[u8], offset: usize, index: usize, inputs: usize) -> Result<LayerShape, NetworkError> {
    let [out_low, out_high, relu, shift, m_low, m_high] = *take::<LAYER_HEADER_BYTES>(bytes, offset)?;
    let outputs = u16::from_le_bytes([out_low, out_high]);
    let multiplier = u16::from_le_bytes([m_low, m_high]);
    if !(1..=WIDTH).contains(&usize::from(outputs)) {
        return Err(NetworkError::LayerWidth { layer: index, found: outputs });
    }
    if relu > 1 {
        return Err(NetworkError::ReluFlag { layer: index, found: relu });
    }
    if shift > SHIFT_LIMIT {
        return Err(NetworkError::Shift { layer: index, found: shift });
    }
    if !(1..=MULTIPLIER_LIMIT).contains(&multiplier) {
        return Err(NetworkError::Multiplier { layer: index, found: multiplier });
    }
    let layer = LayerShape {
        inputs,
        outputs: usize::from(outputs),
        relu: relu == 1,
        multiplier: f32::from(multiplier) / (1_u32 << shift) as f32,
        offset: offset + LAYER_HEADER_BYTES,
    };
    let body = bytes.get(layer.offset..layer.end());
    let body = body.ok_or(NetworkError::Truncated { expected: layer.end(), found: bytes.len() })?;
    let biases = body.get(..4 * layer.outputs).unwrap_or(&[]).as_chunks::<4>().0;
    for (output, bias) in biases.iter().enumerate() {
        let bias = i32::from_le_bytes(*bias);
        if !(-BIAS_LIMIT..=BIAS_LIMIT).contains(&bias) {
            return Err(NetworkError::Bias { layer: index, output, found: bias });
        }
    }
    Ok(layer)
}

#[inline]
fn check_ends(layers: &[LayerShape], latent_layer: usize) -> Result<(), NetworkError> {
    let latent = layers.get(latent_layer);
    let latent = latent.ok_or(NetworkError::LatentLayer { found: latent_layer, layers: layers.len() })?;
    if latent.outputs > LATENT {
        return Err(NetworkError::LatentWidth { found: latent.outputs });
    }
    match layers.last() {
        Some(last) if last.outputs != FEATURES => Err(NetworkError::OutputWidth { found: last.outputs }),
        Some(last) if last.relu => Err(NetworkError::OutputRelu),
        _ => Ok(()),
    }
}

#[inline]
fn take<const N: usize>(bytes: &[u8], offset: usize) -> Result<&[u8; N], NetworkError> {
    let rest = bytes.get(offset..).unwrap_or(&[]);
    rest.first_chunk().ok_or(NetworkError::Truncated { expected: offset + N, found: bytes.len() })
}
