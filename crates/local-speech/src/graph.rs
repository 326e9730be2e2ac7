//! The one door to `rten`: loading an ONNX file and running it on one thread.
//!
//! Everything above speaks of [`Graph`], [`Port`], [`Tensor`] and [`Lane`]; no other
//! file knows which engine runs the models.

use std::path::Path;
use std::sync::Arc;

use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::{AsView, Layout, Tensor as RtenTensor};

use crate::error::SpeechError;

/// A loaded model. Read-only and shared by every call.
pub(crate) struct Graph {
    model: Model,
    name: &'static str,
}

/// A named input or output of a [`Graph`], looked up once at load time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port(NodeId);

/// A value that left a graph and may enter one again (recurrent state, caches).
#[derive(Debug)]
pub(crate) struct Tensor(Value);

/// What is fed into an input. Integers and booleans are `i32` in this engine.
pub(crate) enum Feed<'a> {
    F32(Vec<usize>, &'a [f32]),
    I32(Vec<usize>, Vec<i32>),
    /// Lent: the tensor serves again in the next run.
    Lent(&'a Tensor),
    /// Given away: the engine may grow it in place.
    Given(Tensor),
}

/// One inference thread. Work run on the same lane is done one after another, and
/// never spreads over the machine's other cores.
#[derive(Clone, Debug)]
pub(crate) struct Lane(Arc<ThreadPool>);

impl Lane {
    pub(crate) fn new() -> Lane {
        Lane(Arc::new(ThreadPool::with_num_threads(1)))
    }

    /// Runs `work` on the lane's own thread; graph runs inside it change no thread.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.0.run(work)
    }
}

impl Graph {
    /// Reads an ONNX file. `name` is for error texts.
    pub(crate) fn load(path: &Path, name: &'static str) -> Result<Graph, SpeechError> {
        let model = Model::load_file(path).map_err(|e| SpeechError::BadModel {
            model: name,
            reason: e.to_string(),
        })?;
        Ok(Graph { model, name })
    }

    /// Finds an input or output by its name.
    pub(crate) fn port(&self, name: &str) -> Result<Port, SpeechError> {
        self.model
            .find_node(name)
            .map(Port)
            .ok_or_else(|| SpeechError::BadModel {
                model: self.name,
                reason: format!("it has no input or output named {name:?}"),
            })
    }

    /// One pass. Outputs come back in the order asked for.
    pub(crate) fn run(
        &self,
        lane: &Lane,
        inputs: Vec<(Port, Feed<'_>)>,
        outputs: &[Port],
    ) -> Result<Vec<Tensor>, SpeechError> {
        let feeds = inputs
            .into_iter()
            .map(|(port, feed)| Ok((port.0, self.value(feed)?)))
            .collect::<Result<Vec<_>, SpeechError>>()?;
        let wanted: Vec<NodeId> = outputs.iter().map(|p| p.0).collect();
        let options = RunOptions::default().with_thread_pool(Some(lane.0.clone()));
        let values = self
            .model
            .run(feeds, &wanted, Some(options))
            .map_err(|e| self.failed(e.to_string()))?;
        Ok(values.into_iter().map(Tensor).collect())
    }

    fn value<'a>(&self, feed: Feed<'a>) -> Result<ValueOrView<'a>, SpeechError> {
        match feed {
            Feed::F32(shape, data) => RtenTensor::try_from_data(shape.as_slice(), data.to_vec())
                .map(ValueOrView::from)
                .map_err(|e| self.failed(e.to_string())),
            Feed::I32(shape, data) => RtenTensor::try_from_data(shape.as_slice(), data)
                .map(ValueOrView::from)
                .map_err(|e| self.failed(e.to_string())),
            Feed::Lent(tensor) => Ok(ValueOrView::from(&tensor.0)),
            Feed::Given(tensor) => Ok(ValueOrView::from(tensor.0)),
        }
    }

    fn failed(&self, reason: String) -> SpeechError {
        SpeechError::Inference {
            model: self.name,
            reason,
        }
    }
}

impl Tensor {
    /// Zeros of the given shape; an axis may have length 0.
    pub(crate) fn zeros(shape: &[usize]) -> Tensor {
        Tensor(Value::FloatTensor(RtenTensor::zeros(shape)))
    }

    /// The values of the last row (all of them for one row), or `None` if these are not floats.
    pub(crate) fn last_row(&self) -> Option<Vec<f32>> {
        let Value::FloatTensor(tensor) = &self.0 else {
            return None;
        };
        let width = tensor.shape().last().copied()?;
        let skip = tensor.len().checked_sub(width)?;
        Some(match tensor.data() {
            Some(data) => data.get(skip..)?.to_vec(),
            None => tensor.iter().skip(skip).copied().collect(),
        })
    }
}
