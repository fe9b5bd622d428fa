//! A network's parameters: their start, their state, the key network that follows, the optimizer; and what is refused.

use super::*;

#[test]
fn equal_seeds_give_equal_networks() {
    let a = Architecture { width: 8, ..Architecture::resnet18(3, 16, 4) };
    let new = |seed| {
        let n = Network::new(&a, &mut pipeline::random::stream(seed, "weights"), &Device::Cpu).unwrap();
        n.state().unwrap().into_iter().map(|(n, t)| (n, flat(&t))).collect::<Vec<_>>()
    };
    assert_eq!(new(1), new(1));
    assert_ne!(new(1), new(2));
    let state = new(1);
    assert!(state.is_sorted_by(|a, b| a.0 < b.0));
    let (_, w) = state.iter().find(|(n, _)| n == "stages.0.blocks.0.conv1.weight").unwrap();
    let bound = 1.0 / 72f32.sqrt();
    assert!(w.iter().all(|v| v.abs() <= bound) && w.iter().any(|v| v.abs() > 0.9 * bound));
}

#[test]
fn a_saved_state_is_read_back_whole_or_not_at_all() {
    let a = Architecture { width: 8, ..Architecture::resnet18(3, 16, 4) };
    let new = |seed| Network::new(&a, &mut pipeline::random::stream(seed, "w"), &Device::Cpu).unwrap();
    let (one, two) = (new(1), new(2));
    let mut state: HashMap<String, Tensor> = one.state().unwrap().into_iter().collect();
    two.load_state(&state).unwrap();
    let (x, _) = batch(&a, 2, 1);
    let logits = |n: &Network| flat(&n.forward(&x, Pass::Eval).unwrap().logits);
    assert_eq!(logits(&one), logits(&two));
    let fresh = new(3);
    let before = logits(&fresh);
    let weight = state.remove("stages.1.blocks.0.conv1.weight").unwrap();
    let error = fresh.load_state(&state).unwrap_err().to_string();
    assert!(error.contains("lacks stages.1.blocks.0.conv1.weight"), "{error}");
    state.insert("stages.1.blocks.0.conv1.weight".into(), weight.narrow(0, 0, 1).unwrap());
    let error = fresh.load_state(&state).unwrap_err().to_string();
    assert!(error.contains("has the shape [1, 8, 3, 3]"), "{error}");
    state.insert("stages.1.blocks.0.conv1.weight".into(), weight.clone());
    state.insert("stages.9.weight".into(), weight);
    let error = fresh.load_state(&state).unwrap_err().to_string();
    assert!(error.contains("no parameter called stages.9.weight"), "{error}");
    assert_eq!(before, logits(&fresh));
}

#[test]
fn a_key_network_follows_its_query_slowly() {
    let a = Architecture { width: 8, ..Architecture::resnet18(3, 16, 4) };
    let query = Network::new(&a, &mut pipeline::random::stream(1, "w"), &Device::Cpu).unwrap();
    let key = query.copy_of().unwrap();
    let before = flat(query.parameter(TRUNK).unwrap());
    let moved = (query.parameter(TRUNK).unwrap().as_detached_tensor() + 1.0).unwrap();
    query.parameter(TRUNK).unwrap().set(&moved).unwrap();
    assert_eq!(flat(key.parameter(TRUNK).unwrap()), before);
    key.ema_from(&query, 0.75).unwrap();
    let after = flat(key.parameter(TRUNK).unwrap());
    assert!(after.iter().zip(&before).all(|(a, b)| (a - b - 0.25).abs() < 1e-5));
    key.copy_from(&query).unwrap();
    assert_eq!(flat(key.parameter(TRUNK).unwrap()), flat(&moved));
}

#[test]
fn the_momentum_survives_a_checkpoint() {
    let a = Architecture { width: 4, blocks: [1; 4], ..Architecture::resnet18(1, 8, 2) };
    let network = network(&a);
    let (x, y) = batch(&a, 4, 1);
    let grads =
        || cross_entropy(&network.forward(&x, Pass::Train).unwrap().logits, &y).unwrap().backward().unwrap();
    let sgd = Sgd::new(network.parameters(), 0.9, 5e-4).unwrap();
    sgd.step(&grads(), 0.1).unwrap();
    let copy = network.copy_of().unwrap();
    let other = Sgd::new(copy.parameters(), 0.9, 5e-4).unwrap();
    other.load_state(&sgd.state().unwrap().into_iter().collect()).unwrap();
    sgd.step(&grads(), 0.1).unwrap();
    let out = copy.forward(&x, Pass::Train).unwrap();
    let wanted = flat(network.parameter(TRUNK).unwrap());
    copy.running_mean.set(&network.running_mean).unwrap();
    let before = cross_entropy(&out.logits, &y).unwrap().backward().unwrap();
    other.step(&before, 0.1).unwrap();
    assert_eq!(flat(copy.parameter(TRUNK).unwrap()), wanted);
}

#[test]
fn a_cpu_refuses_bf16() {
    let a = Architecture { width: 4, blocks: [1; 4], ..Architecture::resnet18(1, 8, 2) };
    let mut network = network(&a);
    let error = network.set_precision(Precision::Bf16).unwrap_err().to_string();
    assert!(error.contains("bf16") && error.contains("DEVICE=cuda"), "{error}");
    assert_eq!(network.precision(), Precision::F32);
    network.set_precision(Precision::F32).unwrap();
}

#[test]
fn an_impossible_architecture_is_refused() {
    for (change, word) in [("width", "width"), ("stride", "first_stride"), ("blocks", "blocks")] {
        let mut a = Architecture::resnet18(3, 32, 10);
        match change {
            "width" => a.width = 0,
            "stride" => a.first_stride = 3,
            _ => a.blocks[2] = 0,
        }
        assert!(a.validate().unwrap_err().to_string().contains(word));
    }
}

#[test]
fn images_of_another_shape_are_refused() {
    let a = Architecture { width: 4, blocks: [1; 4], ..Architecture::resnet18(1, 8, 2) };
    let (x, _) = batch(&a, 2, 1);
    let wrong = x.narrow(1, 0, 7).unwrap();
    let error = network(&a).forward(&wrong, Pass::Eval).err().unwrap().to_string();
    assert!(error.contains("8×8×1") && error.contains("2×7×8×1"), "{error}");
}

#[test]
fn a_step_adds_weight_decay_and_momentum_as_pytorch_does() {
    let var = Var::from_vec(vec![1.0f32, -2.0], 2, &Device::Cpu).unwrap();
    let parameters = [(String::from("w"), var.clone())];
    let sgd = Sgd::new(&parameters, 0.9, 0.1).unwrap();
    for _ in 0..2 {
        let loss = (var.as_tensor() * 3.0).unwrap().sum_all().unwrap();
        sgd.step(&loss.backward().unwrap(), 0.5).unwrap();
    }
    // v1 = 3 + 0.1 w0; w1 = w0 - v1 / 2; v2 = 0.9 v1 + 3 + 0.1 w1; w2 = w1 - v2 / 2.
    assert_close("two steps", &flat(&var), &[-3.4175, -5.99], 1e-6);
}
