//! The messages that the guide tells of are those that are seen, and each is tried.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use wgrad::data::{DataLoader, Dataset, Encoder, ImageSet, LastBatch, LoaderOptions, Table};
use wgrad::kernel::{Access, Cost, Kernel};
use wgrad::nn::{Ctx, Embedding, Init, Layer, Linear, Module, Strictness, load_state, state};
use wgrad::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions};
use wgrad::parallel::{Compression, DataParallel, DiLoCoOptions, Group, Threads};
use wgrad::plan::Replay;
use wgrad::train::{Checkpoints, Outcome, Streamed, Trainer};
use wgrad::{Device, Result, Shape, Tensor, checkpoint};

#[derive(Module)]
struct Net {
    hidden: Linear,
    head: Linear,
}

impl Layer for Net {
    fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
        self.head.forward(&self.hidden.forward(x, ctx).relu(), ctx)
    }
}

fn net(outputs: usize, device: &Device) -> Net {
    let mut init = Init::new(0, device);
    Net { hidden: Linear::new(2, 16, &mut init), head: Linear::new(16, outputs, &mut init) }
}

fn ones(shape: impl Into<Shape>) -> Tensor {
    Tensor::ones(shape, &Device::cpu())
}

fn loss(net: &Net, device: &Device) -> Tensor {
    net.forward(&Tensor::ones([4, 2], device), &Ctx::train()).square().mean()
}

/// What a program is told that makes a mistake.
fn told(mistake: impl FnOnce() -> Result<()>) -> String {
    match catch_unwind(AssertUnwindSafe(mistake)) {
        Ok(result) => result.expect_err("it is refused").to_string(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).expect("a sentence")
        }
    }
}

/// Each page's mistakes, in the order of their rows.
fn mistakes() -> Vec<(&'static str, String)> {
    let device = Device::cpu();
    let (net, other) = (net(1, &device), net(2, &device));
    let adam = |module: &dyn Module| Adam::new(module, AdamOptions::default()).expect("good options");
    let sgd = |module: &dyn Module| Sgd::new(module, SgdOptions::default()).expect("good options");
    let images = |labels: &[u8]| ImageSet::new([1, 4, 4], 2, vec![0; 160], labels.to_vec());
    let untracked = || {
        net.forward(&Tensor::ones([4, 2], &device), &Ctx::eval()).mean().backward();
        Ok(())
    };
    let taken = |module: &dyn Module, again: &dyn Module| {
        let mut average = sgd(module).ema(0.9)?;
        drop(sgd(again));
        average.update();
        Ok(())
    };
    let mut all = Vec::new();
    let mut add = |page: &'static str, mistake: &dyn Fn() -> Result<()>| all.push((page, told(mistake)));

    add("training", &untracked);
    add("training", &|| {
        ones([512]).requires_grad().exp().backward();
        Ok(())
    });
    add("training", &|| {
        let mut init = Init::new(0, &device);
        let wide = Net { hidden: Linear::new(2, 32, &mut init), head: Linear::new(32, 2, &mut init) };
        drop(adam(&wide));
        wide.forward(&Tensor::ones([512, 3], &device), &Ctx::train());
        Ok(())
    });
    add("training", &|| {
        ones([4, 2]).cross_entropy(&ones([4]));
        Ok(())
    });

    add("data", &|| {
        Tensor::from_slice(&[1.0f32, 2.0, 3.0], [2, 2], &Device::cpu());
        Ok(())
    });
    add("data", &|| images(&[0; 9]).map(drop));
    add("data", &|| images(&[0, 1, 0, 2, 0, 0, 0, 0, 0, 0]).map(drop));
    let drops = LoaderOptions { last: LastBatch::Drop, ..LoaderOptions::default() };
    add("data", &|| DataLoader::new(images(&[0; 10])?, drops.clone()).map(drop));
    fn whole_epoch(set: impl Dataset + 'static) -> Result<()> {
        DataLoader::new(set, LoaderOptions::default())?.epoch(0).try_for_each(|batch| batch.map(drop))
    }
    add("data", &|| whole_epoch(vec![0.0f32; 64].map(|_| -> Result<f32> { panic!("its picture is upside down") })));
    add("data", &|| whole_epoch(vec![vec![1.0f32], vec![1.0; 2]]));
    add("data", &|| {
        let table = Table::parse("cars.csv", b"power\n130\n?\n90\n")?;
        Encoder::fit(&table, &[0, 1, 2], &["power"], &[]).map(drop)
    });
    add("data", &|| Table::parse("cars.csv", b"a;b\n1;2\n").map(drop));
    add("data", &|| Table::parse("cars.csv", b"5.1,3.5\n4.9,3.0\n").map(drop));
    add("data", &|| {
        #[derive(Module)]
        struct Words {
            words: Embedding,
        }
        let net = Words { words: Embedding::new(5, 8, &mut Init::new(0, &device)) };
        drop(adam(&net));
        net.words.forward(&Tensor::ones([2, 3], &device), &Ctx::train());
        Ok(())
    });

    #[derive(Module)]
    struct Block {
        fc1: Linear,
    }
    impl Layer for Block {
        fn call(&self, x: &Tensor, ctx: &Ctx) -> Tensor {
            self.fc1.forward(x, ctx)
        }
        fn misfit(&self, x: &Tensor, _ctx: &Ctx) -> Option<String> {
            (x.rank() != 2).then(|| format!("{}: expected [rows, width]", x.shape()))
        }
    }
    #[derive(Module)]
    struct Blocks {
        blocks: Vec<Block>,
    }
    let blocks = Blocks { blocks: vec![Block { fc1: Linear::new(8, 16, &mut Init::new(0, &device)) }] };
    drop(adam(&blocks));
    for shape in [&[8][..], &[64, 7]] {
        add("layers", &|| {
            blocks.blocks[0].forward(&Tensor::ones(shape, &device), &Ctx::train());
            Ok(())
        });
    }

    add("fine_tuning", &|| taken(&net.head, &net));
    add("fine_tuning", &untracked);
    add("fine_tuning", &|| {
        adam(&other).step(&loss(&net, &device).backward());
        Ok(())
    });
    add("fine_tuning", &|| load_state(&net, &state(&other)?, Strictness::Strict).map(drop));

    add("optimizers", &|| {
        adam(&other).step(&loss(&net, &device).backward());
        Ok(())
    });
    let x = Tensor::ones([4, 2], &device);
    let step = |work: &dyn Fn(&Tensor) -> Result<()>| Replay::new().run(&x, work);
    add("optimizers", &|| {
        let mut optimizer = sgd(&net);
        Replay::new().run(&x, |_| optimizer.set_lr(0.1))
    });
    add("optimizers", &|| {
        let mut optimizer = sgd(&net);
        let grads = || loss(&net, &device).backward();
        Replay::new().run(&x, |_| {
            optimizer.step(&grads());
            optimizer.step(&grads());
            Ok(())
        })
    });
    let reads = |x: &Tensor| x.mean().item().map(drop);
    add("optimizers", &|| step(&reads));
    add("optimizers", &|| {
        let table = Embedding::new(4, 2, &mut Init::new(0, &device)).sparse();
        let rows = table.forward(&Tensor::full([3], 1, &device), &Ctx::train());
        adam(&table).step(&rows.sum().backward());
        Ok(())
    });
    add("optimizers", &|| sgd(&net).set_lr(-1.0));

    add("saving", &|| load_state(&net, &state(&other)?, Strictness::Strict).map(drop));
    let small = Linear::new(2, 1, &mut Init::new(0, &device));
    let floats = state(&small);
    small.quantize_int8().expect("it can be held");
    add("saving", &|| load_state(&small, &floats.clone()?, Strictness::Strict).map(drop));
    add("saving", &|| checkpoint::from_bytes(b"not at all").map(drop));
    add("saving", &|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("net.safetensors");
        checkpoint::save(&net, &path)?;
        wgrad::load(&path).map(drop)
    });
    add("saving", &|| sgd(&other).load_state(&adam(&other).state()?));
    add("saving", &|| Adam::new(&small, AdamOptions::default()).map(drop));
    add("saving", &|| {
        small.forward(&Tensor::ones([4, 2], &device), &Ctx::train());
        Ok(())
    });

    add("replay", &|| step(&reads));
    add("replay", &|| {
        step(&|x| {
            drop(Tensor::from_slice(&[1.0f32], [1], x.device()));
            Ok(())
        })
    });
    let twice = |work: &dyn Fn(&Tensor, f32) -> Tensor| {
        let mut step = Replay::checked();
        [1.0f32, 0.5].into_iter().try_for_each(|number| step.run(&x, |x| Ok(work(x, number))).map(drop))
    };
    add("replay", &|| twice(&|x, number| x * number));
    add("replay", &|| twice(&|x, number| if number < 1.0 { x.exp() } else { x.tanh() }));
    add("replay", &|| {
        let mut step = Replay::new();
        let mut run = || step.run(&x, |x| Ok(x * 2.0));
        let (first, _second) = (run()?, run()?);
        first.to_vec::<f32>().map(drop)
    });
    add("replay", &|| {
        step(&|_| {
            drop(Tensor::ones([2], &Device::new_cpu()) + 1.0);
            Ok(())
        })
    });
    add("replay", &|| {
        let (total, x) = (Tensor::zeros([4, 2], &device), Tensor::ones([4, 2], &device));
        let step = device.capture(&x, |x| {
            total.assign(&(&total + x));
            Ok(total.sum())
        })?;
        step.run(&total).map(drop)
    });

    add("threads", &|| {
        let line = Linear::new(2, 1, &mut Init::new(0, &device));
        let mut optimizer = sgd(&line);
        line.to(&Device::null())?;
        optimizer.step(&line.weight.tensor().square().sum().backward());
        Ok(())
    });
    add("threads", &|| {
        step(&|x| {
            let y = x * 2.0;
            std::thread::scope(|scope| {
                scope.spawn(|| drop(y.exp()));
            });
            Ok(())
        })
    });

    static SWISH_SLOPE: Kernel =
        Kernel::new("swish_slope", &[Access::Read, Access::Write], |_| (), |_| Cost { flops: 0, bytes: 0 });
    static SWISH: Kernel =
        Kernel::new("swish", &[Access::Read, Access::Write], |_| (), |_| Cost { flops: 0, bytes: 0 });
    add("kernels", &|| {
        Tensor::run(&SWISH, &[&x], &0u32);
        Ok(())
    });
    add("kernels", &|| {
        Tensor::run(&SWISH, &[&x, &x], &0u32);
        Ok(())
    });
    add("kernels", &|| {
        let x = x.clone().requires_grad();
        x.detach().tracked("swish", &[&x], |_, _| Vec::new()).sum().backward();
        Ok(())
    });

    add("gradients", &|| {
        let x = ones([2]).requires_grad();
        let grads = x.square().sum().backward();
        (grads.of(&x).expect("it has one") * &x).sum().backward();
        Ok(())
    });
    add("gradients", &|| {
        let x = ones([2]);
        (x.clone().requires_grad() * &x).sum().grad(&x);
        Ok(())
    });
    add("gradients", &|| {
        let [x, y] = [(); 2].map(|()| ones([2]).requires_grad());
        y.square().sum().grad(&x);
        Ok(())
    });
    add("gradients", &|| {
        let x = ones([2]).requires_grad();
        let saved = x.saved();
        let swish = move |dy: &Tensor| {
            let dx = dy.new_empty(dy.shape());
            Tensor::run(&SWISH_SLOPE, &[&saved, &dx], &0u32);
            dx
        };
        let y = x.detach().exp();
        let swish = move |dy: &Tensor, _: &[bool]| vec![Some(swish(dy))];
        y.tracked("swish", &[&x], swish).sum().grad(&x);
        Ok(())
    });

    let folder = tempfile::tempdir().expect("a folder");
    let fit = |rows: usize, scale: f32, resume: bool, look: &dyn Fn(&Tensor) -> Result<()>| {
        let set = DataLoader::new(vec![([1.0f32; 2], 1.0f32); rows], LoaderOptions::default())?;
        let model = Linear::new(2, 1, &mut Init::new(0, &device));
        let step = |[x, _y]: [&Tensor; 2], ctx: &Ctx| {
            look(x)?;
            Ok(Outcome::of(model.forward(x, ctx).square().mean() * scale))
        };
        let checkpoints = Checkpoints::in_folder(folder.path()).resume_if(resume);
        Trainer::new(&device, &model, sgd(&model), step).checkpoints(checkpoints).fit(&set, None).map(drop)
    };
    add("trainer", &|| fit(4, f32::NAN, false, &|_| Ok(())));
    add("trainer", &|| {
        let empty = Streamed::new(1, |_| Ok(std::iter::empty::<Result<([f32; 2], f32)>>()));
        let model = Linear::new(2, 1, &mut Init::new(0, &device));
        let step = |[x, _y]: [&Tensor; 2], ctx: &Ctx| Ok(Outcome::of(model.forward(x, ctx).square().mean()));
        Trainer::new(&device, &model, sgd(&model), step).evaluate(&empty).map(drop)
    });
    fit(4, 1.0, true, &|_| Ok(())).expect("it runs");
    add("trainer", &|| fit(4, 1.0, false, &|_| Ok(())));
    add("trainer", &|| fit(5, 1.0, true, &|_| Ok(())));
    std::fs::remove_dir_all(folder.path()).expect("it can be removed");
    add("trainer", &|| {
        let set = DataLoader::new(vec![[1.0f32; 2]; 4], LoaderOptions::default())?;
        let model = Linear::new(2, 1, &mut Init::new(0, &device));
        let step = |[x]: [&Tensor; 1], ctx: &Ctx| Ok(Outcome::of(model.forward(x, ctx).square().mean()));
        Trainer::new(&device, &model, sgd(&model), step).freeze("head", 1).fit(&set, None).map(drop)
    });
    add("trainer", &|| {
        let set = DataLoader::new(vec![[1.0f32; 2]; 4], LoaderOptions::default())?;
        let model = Linear::new(2, 1, &mut Init::new(0, &device));
        let step = |[x]: [&Tensor; 1], ctx: &Ctx| Ok(Outcome::of(model.forward(x, ctx).square().mean()));
        Trainer::new(&device, &model, sgd(&model), step).max_memory(100).fit(&set, None).map(drop)
    });
    add("trainer", &|| fit(4, 1.0, false, &reads));

    let two = [Device::new_cpu(), Device::new_cpu()];
    let wide = |device: &Device, width| Linear::new(2, width, &mut Init::new(0, device));
    add("parallel", &|| {
        let other = std::sync::Mutex::new(Ok(()));
        let ended = Threads::run(&two, |group, _| match group.rank() {
            0 => {
                *other.lock().expect("no panic") = group.barrier();
                Ok(())
            }
            _ => Err(wgrad::Error::Data("the disk is full".into())),
        });
        ended.expect_err("it fails");
        other.into_inner().expect("no panic")
    });
    add("parallel", &|| {
        Threads::run(&two, |group, device| DataParallel::new(&wide(device, 1 + group.rank()), group).map(drop))
            .map(drop)
    });
    let ranks = |rows: usize, moves: f32| {
        let run = |group: Threads, device: &Device| {
            let (rank, model) = (group.rank(), wide(device, 1));
            let set = DataLoader::new(vec![([1.0f32; 2], 1.0f32); 4 + rank * rows], LoaderOptions::default())?;
            let step = |[x, _y]: [&Tensor; 2], ctx: &Ctx| {
                for bias in model.bias.iter().filter(|_| rank == 1 && moves != 0.0) {
                    bias.tensor().assign(&(bias.tensor().detach() + moves));
                }
                Ok(Outcome::of(model.forward(x, ctx).square().mean()))
            };
            Trainer::new(device, &model, sgd(&model), step).parallel(group).fit(&set, None).map(drop)
        };
        Threads::run(&two, run).map(drop)
    };
    add("parallel", &|| ranks(1, 0.0));
    add("parallel", &|| ranks(0, 1.0));
    type Made<'a> = &'a (dyn Fn(&Linear, &Threads) -> Result<Sgd> + Sync);
    let options = |made: Made, change: &(dyn Fn(Trainer<2>, usize) -> Result<()> + Sync)| {
        let run = |group: Threads, device: &Device| {
            let (rank, model) = (group.rank(), wide(device, 1));
            let step = |[x, _y]: [&Tensor; 2], ctx: &Ctx| Ok(Outcome::of(model.forward(x, ctx).square().mean()));
            change(Trainer::new(device, &model, made(&model, &group)?, step).parallel(group), rank)
        };
        Threads::run(&two, run).map(drop)
    };
    let set = DataLoader::new(vec![([1.0f32; 2], 1.0f32); 4], LoaderOptions::default()).expect("items");
    add("parallel", &|| {
        let form = |rank| if rank == 0 { Compression::F16 } else { Compression::None };
        options(&|model, _| Ok(sgd(model)), &|trainer, rank| trainer.compress(form(rank)).fit(&set, None).map(drop))
    });
    add("parallel", &|| {
        let three = [Device::new_cpu(), Device::new_cpu(), Device::new_cpu()];
        let run = |group, device: &Device| Adam::sharded(&wide(device, 1), AdamOptions::default(), group).map(drop);
        Threads::run(&three, run).map(drop)
    });
    add("parallel", &|| {
        let made = |model: &Linear, group: &Threads| Sgd::sharded(model, SgdOptions::default(), group.clone());
        options(&made, &|trainer, _| trainer.diloco(DiLoCoOptions::default()).fit(&set, None).map(drop))
    });
    add("parallel", &|| {
        let run = |group: Threads, device: &Device| {
            let (rank, model) = (group.rank(), wide(device, 1));
            let parallel = DataParallel::new(&model, group)?;
            let y = model.forward(&Tensor::ones([4, 2], device), &Ctx::train());
            let loss = if rank == 1 { y.square().mean() } else { model.weight.tensor().square().mean() };
            parallel.backward(&loss).map(drop)
        };
        Threads::run(&two, run).map(drop)
    });
    add("parallel", &|| {
        let run =
            |group: Threads, _: &Device| if group.rank() == 0 { group.barrier() } else { group.all_reduce(&mut [1.0]) };
        Threads::run(&two, run).map(drop)
    });

    add("mixed_precision", &|| {
        let x = Tensor::ones([4, 2], &device);
        let layer = Arc::new(Linear::new(2, 2, &mut Init::new(0, &device)));
        let (own, mut optimizer) = (layer.clone(), sgd(&*layer));
        let y = Ctx::train().checkpoint([&x], move |[x], ctx| own.forward(x, ctx));
        optimizer.step(&layer.forward(&x, &Ctx::train()).sum().backward());
        y.sum().backward();
        Ok(())
    });

    add("debugging", &|| {
        let device = Device::new_cpu();
        let _other = device.clone();
        Device::checked(device);
        Ok(())
    });
    add("debugging", &|| ones([3, 2]).item().map(drop));
    add("debugging", &|| ones([3, 2]).to_vec::<i32>().map(drop));
    all
}

/// What a page quotes: spans of code with a space in them, in the second column of its last table.
fn quoted(page: &str) -> Vec<String> {
    let rows = page.split_once("## Mistakes").map_or("", |(_, rows)| rows).lines().filter(|row| row.starts_with('|'));
    let seen = rows.filter_map(|row| row.trim_matches('|').rsplit_once(" | ")).map(|(_, seen)| seen);
    seen.flat_map(|seen| seen.split('`').skip(1).step_by(2))
        .filter(|text| text.contains(' '))
        .map(String::from)
        .collect()
}

#[test]
fn the_messages_of_the_guide_are_those_that_are_seen() {
    let mut of: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (page, text) in mistakes() {
        of.entry(page).or_default().push(text);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the guide") {
        let path = entry.expect("a page").path();
        let page = std::fs::read_to_string(&path).expect("a page");
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let mut tried = of.remove(name).unwrap_or_default().into_iter();
        for quote in quoted(&page).into_iter().filter(|quote| !quote.starts_with("is no module")) {
            let said = tried.next().unwrap_or_else(|| "nothing: no mistake is tried for it".into());
            if !said.contains(&quote) {
                found.push(format!("{name}: the page says `{quote}`\n    and what is seen is `{said}`"));
            }
        }
        found.extend(tried.map(|said| format!("{name}: the page does not say `{said}`")));
    }
    assert!(found.is_empty() && of.is_empty(), "{}\n{of:?}", found.join("\n"));
}
