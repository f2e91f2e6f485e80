"""What a word that is no option and no setting was meant to be: the field's other names for what there is here.

An error names the other spelling, which is never taken: the name of a run must not depend on how it was typed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

# By group: the words to write, or a sentence, and what the field calls it, as `plain` writes that.
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "model": {
        "model=unet_encoder model.encoder=vgg16": "vgg vgg16 vggunet vgg16unet unetvgg unetvgg16 ternausnet",
        "model=unet_encoder model.encoder=resnet50": "resnet resnet50 resnetunet resnet50unet unetresnet unetresnet50",
        "model=unet_encoder model.encoder=mobilenetv3": "mobilenet mobilenetv3 mobilenetunet mobilenetv3unet "
        "unetmobilenet unetmobilenetv3",
        "model=unet_encoder model.encoder=efficientnetv2b0": "efficientnet efficientnetv2 efficientnetv2b0 "
        "efficientnetunet efficientnetv2b0unet unetefficientnet unetefficientnetv2b0",
        "model=unet_encoder model.encoder=convnext_tiny": "convnext convnexttiny convnextt convnextunet unetconvnext",
        "model=unet": "unet2d 2dunet classicunet",
        "model=unet3d": "3dunet unet3 volumetricunet",
        "model=unet_mini": "smallunet unetsmall miniunet tinyunet unettiny",
        "model=attention_unet": "attunet attnunet unetattention attentionunet2d",
        "model=deeplabv3plus": "deeplab deeplabv3 deeplabv3+ deeplab3 deeplab3+ deeplabplus",
        "model=pspnet": "psp",
        "model=conv3d": "3dcnn cnn3d cnn conv",
        "model=vnet": "vnet3d 3dvnet",
        "model=unet3d_res": "3dresunet residualunet3d unetres3d resunet3d",
        "there is no residual U-Net in 2D; the nearest: model=unet_encoder model.encoder=resnet50, in 3D "
        "model=unet3d_res": "resunet residualunet unetres",
        "there is no SegNet; the nearest: model=unet": "segnet",
        "there is no FCN; the nearest: model=unet": "fcn fcn8s fcn32s",
        "model=linknet": "linknetresnet",
        "model=fpn": "semanticfpn panopticfpn featurepyramid featurepyramidnetwork",
        "model=unetplusplus": "unet++ unetpp nestedunet nestednet",
        "model=upernet": "uper uperhead unifiedperceptualparsing",
        "model=segformer": "mit segformermit segformerb0 mitb0",
        **{f"model=segformer model.variant=b{i}": f"segformerb{i} mitb{i}" for i in range(1, 6)},
        "model=segresnet": "segresnetvae resnet3d",
        "model=dynunet": "nnunet nnunetv2 nnunet3d dynamicunet plainconvunet",
        "model=dynunet model.block=residual model.encoder_blocks=[1,3,4,6,6,6] model.decoder_blocks=1": "resenc "
        "nnunetresenc resencunet resencl nnunetresencl residualencoderunet",
        "model=dynunet2d": "nnunet2d",
        "model=unetr": "vit unetr3d",
        "model=swin_unetr": "swin swinunet swinunetr3d",
        "there is no HRNet; the nearest: model=deeplabv3plus": "hrnet",
        "there is no TransUNet; the nearest: model=segformer, in 3D model=unetr": "transunet transbts",
    },
    "loss": {
        "loss=cross_entropy": "ce bce xent nll logloss softmax binarycrossentropy bceloss celoss "
        "categoricalcrossentropy sparsecategoricalcrossentropy bcewithlogits bcewithlogitsloss",
        "loss=balanced_cross_entropy": "wce wbce weightedcrossentropy weightedce weightedbce balancedce balancedbce "
        "balanced",
        "loss=combined": "dicece cedice dicebce bcedice dicecrossentropy combo comboloss diceceloss bcediceloss "
        "dicebceloss",
        "loss=total": "dicefocal focaldice dicefocalloss",
        "loss=dice": "softdice dsc dicecoef dicecoefficient f1 sorensen",
        "loss=generalized_dice": "gdl gdice generaliseddice generaliseddiceloss",
        "loss=jaccard": "iou iouloss softiou jaccardindex miou",
        "loss=focal_tversky": "ftl tverskyfocal",
        "loss=lovasz": "lovaszsoftmax lovaszhinge",
        "there is no loss of distances; the nearest: loss=combined": "boundary hausdorff surface hd",
        "there is no loss of a regression; the nearest: loss=cross_entropy": "mse mae l1 l2",
    },
    "optimizer": {
        "optimizer=sgd optimizer.momentum=0.9": "sgdmomentum momentum sgdm",
        "optimizer=sgd optimizer.nesterov=true": "nesterov nag sgdnesterov",
        "optimizer=sgd optimizer.weight_decay=1e-4": "sgdw",
        "optimizer=adamw": "adamweightdecay adamwd",
        "optimizer=rmsprop": "rms",
        "there is none of this name; the nearest: optimizer=adamw": "nadam radam adagrad adadelta adamax lamb",
        "there is no LARS; the nearest: optimizer=sgd": "lars",
    },
    "schedule": {
        "schedule=cosine": "cos cosineannealing cosinedecay cosineannealinglr cosinelr annealing",
        "schedule=polynomial": "poly polylr polynomiallr polydecay polynomialdecay",
        "schedule=polynomial schedule.power=1.0": "linear",
        "schedule=plateau": "reducelronplateau reduceonplateau reducelr",
        "schedule=constant": "none const fixed off no",
        "schedule=cosine schedule.warmup_epochs=5": "warmup",
        "there is no schedule of steps; the nearest: schedule=plateau or schedule=cosine": "step steplr multistep "
        "multisteplr",
        "there is no exponential schedule; the nearest: schedule=polynomial": "exponential exp exponentiallr",
        "there is no cycle; the nearest: schedule=cosine schedule.warmup_epochs=5": "onecycle onecyclelr 1cycle",
    },
    "precision": {
        "precision=mixed_bfloat16": "bf16 bfloat16 mixedbf16 bf16mixed ampbf16",
        "precision=mixed_float16": "fp16 f16 float16 half 16 16mixed mixedfp16 fp16mixed ampfp16",
        "precision=float32": "fp32 f32 float single full 32 32true no off false",
        "precision=auto": "amp mixed mixedprecision default true",
        "there is no such format; the nearest: precision=float32": "fp64 float64 double 64 tf32",
    },
    "data": {
        "data=synthetic2d": "synthetic synth synth2d toy builtin demo",
        "data=synthetic3d": "synth3d toy3d builtin3d",
        "data=image_folder": "folder folders images png tiff tif jpeg custom isic drive chasedb1 kvasir kvasirseg",
        "data=csv": "table tables list dataframe",
        "data=nifti": "nii niigz nibabel mri ct medical volumes msd decathlon nnunet brats acdc",
        "data=cityscapes": "city cityscape",
        "experiment=hippocampus": "hippocampus",
        "experiment=isbi": "isbi isbi2012",
    },
    "augment": {
        "augment=none": "no off false noaug noaugment nothing identity",
        "augment=light": "weak mild default basic medium yes on true flip",
        "augment=strong": "heavy hard full aggressive",
        "augment=mri": "mr ct brain medical volume",
        "augment=road": "street driving roads cityscapes camvid car",
        "augment=albumentations": "albumentation albu a alb",
        "augment=microscopy": "micro cell cells histology pathology",
    },
    "launcher": {
        "launcher=in_order": "basic serial sequential default none",
        "launcher=local": "joblib parallel multiprocessing processes",
        "launcher=slurm": "submitit submititslurm sbatch cluster hpc",
        "there is no such launcher; the nearest: launcher=slurm or launcher=local": "ray dask kubernetes k8s",
    },
    "search": {
        "search=tpe": "optuna bayes bayesian bayesianoptimization hyperopt",
        "search=grid": "basic cartesian gridsearch product default",
        "search=tpe search.trials=20 search.startup_trials=20": "random randomsearch",
    },
    "debug": {
        "debug=fast": "quick smoke smoketest dryrun test short true on yes 1",
        "debug=overfit": "overfitting memorize memorise sanity overfitbatch",
        "debug=profile": "profiler profiling prof speed",
    },
}
_GPU = (
    "a run takes the first GPU that it sees: CUDA_VISIBLE_DEVICES=0 seglab train …; several with backend=jax "
    "trainer.devices=auto; jobs on SLURM ask for theirs: "
    "seglab train -m launcher=slurm launcher.gpus=1 …"
)
# The keys, of which the first that the config has is meant, or a sentence; and what the field calls it.
_SETTINGS: Mapping[str, str] = {
    "trainer.epochs": "epoch epochs maxepochs numepochs nepochs",
    "optimizer.learning_rate": "lr learningrate baselr initlr initiallr lr0 maxlr eta",
    "data.batch_size": "bs batch batchsize trainbatchsize",
    "optimizer.weight_decay": "wd weightdecay decay l2",
    "optimizer.momentum": "momentum",
    "optimizer.clip_norm": "clip clipnorm gradclip gradientclip gradclipnorm clipgradnorm maxgradnorm gradientclipval",
    "optimizer.accumulate_steps": "accum accumulate accumulation gradaccum accumulategradbatches "
    "gradientaccumulationsteps",
    "optimizer.ema_momentum": "ema emadecay",
    "schedule.warmup_epochs": "warmup warmupepochs",
    "seed": "randomseed randomstate manualseed",
    "data.fold": "fold",
    "data.folds": "kfold kfolds nfolds numfolds nsplits",
    "data.size": "size imagesize imgsize imgsz inputsize inputshape imageshape shape resize resolution cropsize crop "
    "patchsize patch roisize",
    "trainer.patience_epochs schedule.patience_epochs": "patience earlystopping earlystop earlystoppingpatience",
    "data.workers": "workers numworkers nworkers",
    "data.root": "root dataroot datadir datapath datasetpath datasetdir path dir folder rootdir",
    "data.classes data.label_values": "classes numclasses nclasses nc nclass numclass outchannels",
    "data.class_names": "classnames labelnames",
    "loss.class_weights": "classweight classweights weight",
    "model.encoder": "encoder encodername backbone",
    "model.weights": "pretrained encoderweights",
    "model.width": "filters nfilters basefilters channels basechannels features",
    "model.depth": "levels nlevels",
    "model.dropout": "droprate dropoutrate",
    "trainer.monitor": "metric monitormetric",
    "run_name": "name runname expname",
    "tracking.experiment": "experimentname project projectname",
    "tracking.uri": "trackinguri mlflowuri mlflow uri",
    "resume": "ckpt checkpoint ckptpath resumefrom resumefromcheckpoint",
    "data.limit_cases": "limit limittrainbatches ncases maxcases",
    _GPU: "gpu gpus ngpus numgpus device devices cuda accelerator",
}
# What the field calls a group.
_GROUPS: Mapping[str, str] = {
    "model": "arch architecture net network modelname",
    "loss": "criterion lossfn lossfunction objective",
    "optimizer": "opt optim optimiser",
    "schedule": "scheduler lrscheduler lrschedule sched",
    "data": "dataset datamodule source",
    "augment": "augmentation augmentations aug augs transforms",
    "precision": "amp dtype mixedprecision policy fp",
    "search": "sweeper tuner hpo",
}
_VALUES: Mapping[str, str] = {
    "batch": "bn batchnorm batchnormalization",
    "instance": "instancenorm",
    "group": "gn groupnorm",
    "silu": "swish",
    "leaky_relu": "lrelu leaky",
    "transpose": "conv deconv transposed learned learnt",
    "bilinear": "trilinear linear",
    "scale": "minmax rescale",
    "standard": "meanstd standardize",
    "patch": "crop randomcrop patches",
    "resize": "stretch",
    "pad": "padding",
}


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    return {word: meant for meant, words in table.items() for word in words.split()}


_OPTION_OF = {group: _by_word(table) for group, table in _OPTIONS.items()}
# What means something else in another section: channels of images are no filters.
_OWN_SECTION = frozenset({"model.width"})
_SETTING_OF, _GROUP_OF, _VALUE_OF = _by_word(_SETTINGS), _by_word(_GROUPS), _by_word(_VALUES)


def plain(word: object) -> str:
    """A word without case, hyphens, underscores and spaces; a plus stays, for `deeplabv3+`."""
    return re.sub(r"[^a-z0-9+]", "", str(word).lower())


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word nearest to this one, whatever its case and hyphens; None if none is near."""
    by_plain: dict[str, str] = {}
    for name in known:
        by_plain.setdefault(plain(name), name)
    found = difflib.get_close_matches(plain(word), list(by_plain), n=1, cutoff=cutoff)
    return by_plain[found[0]] if found else None


def option_meant(group: str, word: object, options: Mapping[str, str]) -> str | None:
    """What to write instead of a word that is no option of a group: `model=unet`, or a sentence; None if nobody knows.

    Args:
        options: of the group, with the display name of each, as a run is called by it.
    """
    word = str(word).rpartition("/")[2].removesuffix(".yaml")
    names = {plain(shown): f"{group}={option}" for option, shown in options.items()}
    names |= {plain(option): f"{group}={option}" for option in options}
    meant = {**_OPTION_OF.get(group, {}), **names}
    near = closest(word, meant)
    return meant.get(plain(word)) or (meant[near] if near else None)


def value_meant(word: object, allowed: Iterable[str]) -> str | None:
    """Which of the allowed texts a value was meant to be; None if none is near."""
    allowed = list(allowed)
    usual = _VALUE_OF.get(plain(word))
    return usual if usual in allowed else closest(str(word), allowed, cutoff=0.5)


def group_meant(key: str) -> str | None:
    """The group that a key without a point was meant to be: `arch` is `model`."""
    return _GROUP_OF.get(plain(key))


def setting_meant(key: str, known: Iterable[str], others: Iterable[str] = ()) -> str | None:
    """The full key that a key was meant to be, or a sentence; None if nothing is near.

    In this order: the same but for its spelling; the field's name for it, in its own section if there; a setting of
    that name in another section; one with a similar name, in its own section first.

    Args:
        known: the full keys of the config.
        others: those that it would have with other options of its groups.
    """
    known, others = list(known), list(others)
    parent, _, leaf = key.rpartition(".")
    parts = [plain(part) for part in key.split(".")]
    called = _SETTING_OF.get(plain(leaf), "")
    if called in _OWN_SECTION and parent and parent != called.partition(".")[0]:
        called = ""
    if called == _GPU:
        called_here, called = [_GPU], ""
    else:
        called_here = [name for name in called.split() if name in known]
    here = [name for name in known if plain(name.rpartition(".")[0]) == plain(parent)]
    for found in (
        [name for name in (*known, *others) if [plain(part) for part in name.split(".")] == parts],
        [name for name in called_here if name in here],
        called_here,
        [name for name in called.split() if name in others],
        [name for name in known if plain(name.rpartition(".")[2]) == plain(leaf)],
    ):
        if found:
            return found[0]
    beside = [name for name in others if plain(name.rpartition(".")[0]) == plain(parent)]
    for candidates, cutoff in ((here, 0.6), (beside, 0.6), (known, 0.75)):
        leaves = {name.rpartition(".")[2]: name for name in reversed(candidates)}
        near = closest(leaf, leaves, cutoff)
        if near:
            return leaves[near]
    return None
