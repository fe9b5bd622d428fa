//! The network against PyTorch (golden/make_goldens.py), against candle's own operators, and its gradient against the
//! slope of the loss.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
pub struct Goldens {
    pub cases: Vec<Case>,
    pub curve: LossCurve,
}

#[derive(Clone, Deserialize)]
pub struct Case {
    pub architecture: Architecture,
    batch: usize,
    loss: f64,
    logits: Vec<f32>,
    features: [f64; 2],
    projections: [f64; 2],
    gradients: HashMap<String, [f64; 2]>,
    running: HashMap<String, [f64; 2]>,
    eval_logits: Vec<f32>,
}

#[derive(Deserialize)]
pub struct LossCurve {
    pub architecture: Architecture,
    batch: usize,
    lr: f64,
    losses: Vec<f64>,
}

/// What PyTorch computed.
pub fn goldens() -> Goldens {
    serde_json::from_str(include_str!("../golden/networks.json")).unwrap()
}

/// Gradients by PyTorch's names.
fn gradients(network: &Network, loss: &Tensor) -> Vec<(String, Vec<f32>)> {
    let grads = loss.backward().unwrap();
    let mut all = vec![];
    for (name, var) in network.parameters() {
        let grad = flat(grads.get(var).unwrap());
        if name == TRUNK {
            all.extend(network.trunk.layout.parameters.iter().map(|p| (p.name.clone(), p.to_torch(&grad))));
        } else {
            all.push((name.clone(), grad));
        }
    }
    all
}

/// A training step and an evaluation against PyTorch's; tolerances of outputs and of gradients.
pub fn check_case(network: &Network, case: &Case, [outputs, tolerance]: [f32; 2]) {
    let (x, y) = batch(&case.architecture, case.batch, 1000);
    let x = x.to_device(network.device()).unwrap();
    let out = network.forward(&x, Pass::Train).unwrap();
    let z = network.project(&out.features, Pass::Train).unwrap();
    let loss = loss_of(&out.logits, &z, &y);
    let found = f64::from(loss.to_scalar::<f32>().unwrap());
    let of = format!("{:?}", case.architecture);
    let most = 0.2 * f64::from(outputs) * case.loss.abs();
    assert!((found - case.loss).abs() < most, "{of}: {found}, PyTorch {}", case.loss);
    assert_close(&of, &flat(&out.logits), &case.logits, outputs);
    let tolerance = f64::from(tolerance);
    assert_digest("features", digest(&flat(&out.features)), case.features, tolerance);
    assert_digest("projections", digest(&flat(&z)), case.projections, tolerance);
    let all = gradients(network, &loss);
    assert_eq!(all.len(), case.gradients.len());
    for (name, grad) in all {
        assert_digest(&format!("{of} {name}"), digest(&grad), case.gradients[&name], tolerance);
    }
    let state = network.state().unwrap();
    let running: Vec<_> = state.iter().filter(|(n, _)| n.contains("running")).collect();
    assert_eq!(running.len(), case.running.len());
    for (name, values) in running {
        assert_digest(&format!("{of} {name}"), digest(&flat(values)), case.running[name], tolerance);
    }
    let eval = network.forward(&x, Pass::Eval).unwrap();
    assert_close(&of, &flat(&eval.logits), &case.eval_logits, outputs);
}

/// Thirty steps against PyTorch's; tolerances of the first loss and of the others.
pub fn check_curve(network: &Network, curve: &LossCurve, [first, others]: [f64; 2]) {
    let sgd = Sgd::new(network.parameters(), 0.9, 5e-4).unwrap();
    for (step, wanted) in curve.losses.iter().enumerate() {
        let (x, y) = batch(&curve.architecture, curve.batch, 2000 + step % 4);
        let out = network.forward(&x.to_device(network.device()).unwrap(), Pass::Train).unwrap();
        let z = network.project(&out.features, Pass::Train).unwrap();
        let loss = loss_of(&out.logits, &z, &y);
        sgd.step(&loss.backward().unwrap(), curve.lr).unwrap();
        let found = f64::from(loss.to_scalar::<f32>().unwrap());
        let tolerance = if step == 0 { first } else { others };
        assert!(
            (found - wanted).abs() < tolerance * (1.0 + wanted),
            "step {step}: {found}, PyTorch {wanted}"
        );
    }
}

#[test]
fn forward_gradients_and_running_statistics_are_pytorchs() {
    // Winograd's rounding is larger, so that now and then an activation falls on the other side of a ReLU.
    for (case, exact) in goldens().cases.into_iter().flat_map(|c| [(c.clone(), true), (c, false)]) {
        let mut network = network(&case.architecture);
        network.trunk.exact = exact;
        check_case(&network, &case, [1e-3, if exact { 1e-3 } else { 2e-2 }]);
    }
}

#[test]
fn thirty_steps_follow_pytorchs_loss_curve() {
    let curve = goldens().curve;
    // Where a rounding puts an activation on the other side of a ReLU, the curves part: PyTorch's float32 and
    // float64 curves do so too, from other starts.
    check_curve(&network(&curve.architecture), &curve, [1e-5, 1e-2]);
}

#[test]
fn candles_own_operators_give_the_same_gradients() {
    let a = Architecture { width: 20, blocks: [1, 2, 1, 1], ..Architecture::resnet18(3, 18, 4) };
    let network = network(&a);
    let (x, y) = batch(&a, 3, 5);
    let ours = network.forward(&x, Pass::Train).unwrap();
    let theta = network.parameter(TRUNK).unwrap().as_tensor();
    let reference = reference::forward(&network.trunk.layout, &x, theta).unwrap();
    assert_close("features", &flat(&ours.features), &flat(&reference), 1e-4);
    let logits = network.linear("classifier", &reference, Pass::Train).unwrap();
    let all = |features: &Tensor, logits: &Tensor| {
        let z = network.project(features, Pass::Train).unwrap();
        gradients(&network, &loss_of(logits, &z, &y))
    };
    let (found, wanted) = (all(&ours.features, &ours.logits), all(&reference, &logits));
    for ((name, found), (_, wanted)) in found.iter().zip(&wanted) {
        assert_close(name, found, wanted, 2e-3);
    }
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let a = Architecture { width: 6, blocks: [1; 4], ..Architecture::resnet18(2, 10, 3) };
    let network = network(&a);
    let (x, y) = batch(&a, 4, 5);
    let theta = network.parameter(TRUNK).unwrap();
    let loss = || {
        let out = network.forward(&x, Pass::Train).unwrap();
        loss_of(&out.logits, &network.project(&out.features, Pass::Train).unwrap(), &y)
    };
    let grad = flat(loss().backward().unwrap().get(theta).unwrap());
    let start = flat(theta);
    let norm = grad.iter().map(|g| g * g).sum::<f32>().sqrt();
    let step = 2e-3;
    let at = |sign: f32| {
        let moved = start.iter().zip(&grad).map(|(w, g)| w + sign * step * g / norm).collect();
        theta.set(&Tensor::from_vec(moved, start.len(), &Device::Cpu).unwrap()).unwrap();
        loss().to_scalar::<f32>().unwrap()
    };
    let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
    assert!((slope - norm).abs() < 0.03 * norm, "slope {slope}, gradient {norm}");
}
