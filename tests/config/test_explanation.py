"""What was meant: other spellings and other names of options, settings and values, each with the words to write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from seglab.command import command
from seglab.config import synonyms
from seglab.config.run_config import load_config
from seglab.config.synonyms import option_meant, value_meant
from seglab.config.unknown_words import instead
from seglab.config.vocabulary import OPTION_GROUPS, composed, groups, options_of, options_with_setting

# group, what is said for each of its options, what to write
OPTIONS = [
    ("model", "UNet Unet UNET u-net unet2d unett", "model=unet"),
    ("model", "UNetMini unet-mini mini_unet", "model=unet_mini"),
    ("model", "AttentionUNet attention-unet att_unet Attention_UNet", "model=attention_unet"),
    ("model", "vgg16_unet VGG16UNet unet_vgg16 vgg16", "model=unet_encoder model.encoder=vgg16"),
    ("model", "resnet50_unet ResNet50UNet unet-resnet50 ResNet50", "model=unet_encoder model.encoder=resnet50"),
    ("model", "MobileNetV3UNet mobilenet", "model=unet_encoder model.encoder=mobilenetv3"),
    ("model", "EfficientNetV2B0UNet efficientnet", "model=unet_encoder model.encoder=efficientnetv2b0"),
    ("model", "DeepLabV3Plus deeplab deeplabv3+ DeepLabV3 deeplab_v3_plus", "model=deeplabv3plus"),
    ("model", "PSPNet psp", "model=pspnet"),
    ("model", "UNet3D unet_3d 3dunet 3D-UNet", "model=unet3d"),
    ("model", "VNet v-net V_Net", "model=vnet"),
    ("model", "Conv3D conv_3d", "model=conv3d"),
    ("model", "ResUNet3D unet3d-res", "model=unet3d_res"),
    ("model", "segnet SegNet", "there is no SegNet; the nearest: model=unet"),
    ("model", "unet++ UNetPlusPlus nested_unet", "model=unetplusplus"),
    ("model", "LinkNet link-net", "model=linknet"),
    ("model", "FPN semantic_fpn feature-pyramid", "model=fpn"),
    ("model", "UPerNet uper_net", "model=upernet"),
    ("model", "SegFormer seg-former SegFormerB0", "model=segformer"),
    ("model", "SegFormerB3 mit_b3", "model=segformer model.variant=b3"),
    ("model", "SegResNet seg_resnet", "model=segresnet"),
    ("model", "nnunet nnU-Net DynUNet", "model=dynunet"),
    ("model", "nnunet_2d DynUNet2D", "model=dynunet2d"),
    ("model", "UNETR vit", "model=unetr"),
    ("model", "SwinUNETR swin-unetr swin", "model=swin_unetr"),
    ("loss", "DiceLoss Dice soft_dice dice_coef", "loss=dice"),
    ("loss", "bce ce CrossEntropy CrossEntropyLoss cross-entropy binary_crossentropy", "loss=cross_entropy"),
    ("loss", "weighted_ce BalancedCrossEntropyLoss balanced", "loss=balanced_cross_entropy"),
    ("loss", "dice_ce dicece bce_dice CombinedLoss combo dice+ce", "loss=combined"),
    ("loss", "dice_focal TotalLoss", "loss=total"),
    ("loss", "FocalLoss focal_loss", "loss=focal"),
    ("loss", "FocalTverskyLoss focal-tversky focaltversky", "loss=focal_tversky"),
    ("loss", "iou JaccardLoss IoULoss", "loss=jaccard"),
    ("loss", "GeneralizedDiceLoss gdl generalised_dice", "loss=generalized_dice"),
    ("loss", "Lovász LovaszSoftmax", "loss=lovasz"),
    ("optimizer", "AdamW ADAMW adam_w", "optimizer=adamw"),
    ("optimizer", "Adam", "optimizer=adam"),
    ("optimizer", "sgd_momentum momentum SGD-momentum", "optimizer=sgd optimizer.momentum=0.9"),
    ("optimizer", "nesterov", "optimizer=sgd optimizer.nesterov=true"),
    ("optimizer", "RMSProp rms_prop", "optimizer=rmsprop"),
    ("optimizer", "nadam", "there is none of this name; the nearest: optimizer=adamw"),
    ("schedule", "Cosine CosineAnnealingLR cosine_decay cos", "schedule=cosine"),
    ("schedule", "poly PolynomialLR", "schedule=polynomial"),
    ("schedule", "ReduceLROnPlateau", "schedule=plateau"),
    ("schedule", "linear", "schedule=polynomial schedule.power=1.0"),
    ("schedule", "none", "schedule=constant"),
    ("precision", "bf16 bfloat16 mixed_bf16 BF16 bf16-mixed mixed-bfloat16", "precision=mixed_bfloat16"),
    ("precision", "fp16 float16 half 16 Mixed_Float16", "precision=mixed_float16"),
    ("precision", "fp32 32 Float32", "precision=float32"),
    ("precision", "amp mixed Auto", "precision=auto"),
    ("data", "nifty NIfTI nii Nifti", "data=nifti"),
    ("data", "synthetic synthetic_2d Synthetic2D", "data=synthetic2d"),
    ("data", "imagefolder ImageFolder images", "data=image_folder"),
    ("data", "CSV", "data=csv"),
    ("data", "isic DRIVE chase_db1 kvasir-seg", "data=image_folder"),
    ("data", "nnUNet BraTS acdc", "data=nifti"),
    ("data", "CamVid", "data=camvid"),
    ("augment", "Light", "augment=light"),
    ("augment", "NoAugmentation no False", "augment=none"),
    ("augment", "heavy Strong", "augment=strong"),
    ("launcher", "slrum SLURM submitit", "launcher=slurm"),
    ("launcher", "In-Order serial", "launcher=in_order"),
    ("launcher", "joblib", "launcher=local"),
    ("search", "optuna TPE", "search=tpe"),
    ("search", "Grid", "search=grid"),
    ("debug", "Overfit", "debug=overfit"),
    ("debug", "smoke", "debug=fast"),
]
# what is said, chosen groups, what to write; the key alone is wrong
KEYS = [
    ("epochs=5", "", "trainer.epochs=5"),
    ("max_epochs=5", "", "trainer.epochs=5"),
    ("lr=1e-3", "", "optimizer.learning_rate=1e-3"),
    ("learning_rate=1e-3", "", "optimizer.learning_rate=1e-3"),
    ("batch_size=4", "", "data.batch_size=4"),
    ("bs=4", "", "data.batch_size=4"),
    ("weight_decay=1e-4", "", "optimizer=adamw optimizer.weight_decay=1e-4"),
    ("weight_decay=1e-4", "optimizer=sgd", "optimizer.weight_decay=1e-4"),
    ("optimizer.momentum=0.9", "", "optimizer=sgd optimizer.momentum=0.9"),
    ("seeds=3", "", "seed=3"),
    ("Seed=3", "", "seed=3"),
    ("fold=0", "", "data.fold=0"),
    ("size=64", "", "data.size=[64,64]"),
    ("image_size=(64,64)", "", "data.size=[64,64]"),
    ("img_size=96x64", "", "data.size=[96,64]"),
    ("patience=3", "", "trainer.patience_epochs=3"),
    ("schedule.patience=3", "schedule=plateau", "schedule.patience_epochs=3"),
    ("trainer.patience=3", "schedule=plateau", "trainer.patience_epochs=3"),
    ("workers=2", "", "data.workers=2"),
    ("root=/a/b", "", "data=image_folder data.root=/a/b"),
    ("root=/a/b", "data=csv", "data.root=/a/b"),
    ("root=/a (1)", "data=csv", "data.root='/a (1)'"),
    ("num_classes=3", "", "data.classes=3"),
    ("classes=3", "", "data.classes=3"),
    ("num_classes=3", "data=csv", "data.label_values=[0,1,2]"),
    ("data.class_names=[a,b]", "", "data=image_folder data.class_names=[a,b]"),
    ("data.epochs=5", "", "trainer.epochs=5"),
    ("model.lr=1", "", "optimizer.learning_rate=1"),
    ("optimizer.lr=1", "", "optimizer.learning_rate=1"),
    ("trainer.epoch=5", "", "trainer.epochs=5"),
    ("trainer.epocsh=5", "", "trainer.epochs=5"),
    ("Trainer.Epochs=5", "", "trainer.epochs=5"),
    ("data.batch-size=5", "", "data.batch_size=5"),
    ("optimizer.beta1=0.8", "", "optimizer.beta_1=0.8"),
    ("model.encoder=vgg16", "", "model=unet_encoder model.encoder=vgg16"),
    ("loss.gamma=2", "", "loss=focal loss.gamma=2"),
    ("loss.alpha=0.2", "", "loss=tversky loss.alpha=0.2"),
    ("tracking.url=x", "", "tracking.uri=x"),
    ("launcher.job=3", "", "launcher.jobs=3"),
    ("launcher.gpus=2", "", "launcher=slurm launcher.gpus=2"),
    ("search.trial=3", "", "search=tpe search.trials=3"),
    ("arch=UNet", "", "model=unet"),
    ("modle=unet", "", "model=unet"),
    ("scheduler=CosineAnnealingLR", "", "schedule=cosine"),
    ("criterion=dice", "", "loss=dice"),
    ("name=mine", "", "run_name=mine"),
    ("model.channels=24", "", "model.width=24"),
    ("channels=24", "", "model.width=24"),
]
# the words of a command, and what its message must hold: Hydra's own errors, values, flags
WORDS = [
    ("loss=keras_loss loss.gamma=3.0", ["without a plus", "alpha, gamma, label_smoothing", "write +loss.gamma=3.0"]),
    ("loss=keras_loss loss.gama=3.0", ["without a plus", "write +loss.gamma=3.0"]),
    ("loss=keras_loss loss._target_=keras.losses.Dice loss.axis=1", ["without a plus", "write +loss.axis=1"]),
    ("optimizer=keras_optimizer optimizer.beta_1=0.8", ["without a plus", "write +optimizer.beta_1=0.8"]),
    ("data.channels=150", ["unknown setting", "see every setting with: seglab train --cfg job"]),
    ("trainer.epochs", ["parse error in override", "say a value, such as trainer.epochs=30"]),
    ("trainer.epochs 5", ["parse error in override", "did you mean: trainer.epochs=5"]),
    ("model unet3d", ["parse error in override", "did you mean: model=unet3d"]),
    ("help", ["parse error in override", "seglab train --help"]),
    ("/scans/isic", ["parse error in override", "did you mean: data=image_folder data.root=/scans/isic"]),
    (
        "data=/scans/isic",
        ["unknown choice", "data=image_folder data.root=/scans/isic", "data=nifti data.root=/scans/isic"],
    ),
    ("data=nifti ./scans", ["parse error in override", "did you mean: data.root=./scans"]),
    ("trainer.epochs =5", ["parse error in override", "without spaces around the =: trainer.epochs=5"]),
    ("trainer.epochs= 5", ["without a value", "without spaces around the =: trainer.epochs=5"]),
    ("trainer.epochs:5", ["parse error in override", "did you mean: trainer.epochs=5"]),
    ("trainer.epochs=", ["without a value", "say one, such as trainer.epochs=30"]),
    ("resume=", ["without a value", "a value after the =, or null for none", "resume=null"]),
    ("model=", ["without a value", "say one, such as model=attention_unet"]),
    ("lr=", ["without a value", "did you mean: optimizer.learning_rate=…"]),
    ("UNet", ["parse error in override", "did you mean: model=unet"]),
    ("data.size=(64,64)", ["parse error in override", "did you mean: data.size=[64,64]"]),
    ("data.size=[64, 64]", ["parse error in override", "without spaces in it: data.size=[64,64]"]),
    (
        "data.split={train:0.8, val:0.2}",
        ["parse error in override", "without spaces in it: 'data.split={train:0.8,val:0.2}'"],
    ),
    (
        "data.regions={'a/b':[1,2],\"core\":2}",
        ["parse error in override", "without quotes around them: 'data.regions={a/b:[1,2],core:2}'"],
    ),
    ('data.regions={"core": 2}', ["parse error in override", "without quotes around them: 'data.regions={core:2}'"]),
    ("data.regions={core(T1):2}", ["parse error in override", "names in braces are of unaccented letters"]),
    ("data.split={train:0.8,val:0.1,train:0.1}", ["parse error in override", "each name once: train stands twice"]),
    ("data.regions={core:1,null:2}", ["parse error in override", "another name for null, such as name_null"]),
    ("data.regions={1e3:1,True:2}", ["parse error in override", "another name for 1e3, True, such as name_1e3"]),
    ("data.split=train:0.8", ["keys with values", "quotes keep the braces from the shell: 'data.split={…}'"]),
    ("data.size=64,64", ["several values", "did you mean: data.size=[64,64]"]),
    ("data.size=64", ["data.size", "a list, in brackets", "data.size=[64,64]"]),
    ("data.size=64x64", ["a list, in brackets", "data.size=[64,64]"]),
    ("run_name=a,b", ["several values", "\"run_name='a,b'\"", "-m run_name=a,b"]),
    ("optimizer.learning_rate=0,001", ["several values", "optimizer.learning_rate=0.001"]),
    ("loss=dice,focal", ["several values", "seglab train -m loss=dice,focal"]),
    ("loss=[dice,focal]", ["several options for loss", "seglab train -m loss=dice,focal"]),
    ("+trainer.epochs=5", ["exists already", "did you mean: trainer.epochs=5"]),
    ("+lr=1", ["unknown setting 'lr'", "did you mean: optimizer.learning_rate=1"]),
    ("--epochs 5", ["unknown flag", "did you mean: trainer.epochs=5"]),
    ("--model=UNet", ["unknown flag", "did you mean: model=unet"]),
    ("--cfg jobs", ["a flag that cannot be read", "invalid choice: 'jobs'"]),
    ("gpus=1", ["unknown setting 'gpus'", "CUDA_VISIBLE_DEVICES=0", "launcher=slurm launcher.gpus=1"]),
    ("loss.class_weights=balanced", ["loss=balanced_cross_entropy", "loss.class_weights=[1.0,2.0]"]),
    ("trainer.monitor=val_DICE", ["did you mean: trainer.monitor=val_dice"]),
    ("trainer.deterministic=yes", ["true or false", "trainer.deterministic=true"]),
    ("trainer.patience_epochs=none", ["nothing is written as null: trainer.patience_epochs=null"]),
    ("trainer.epochs=1e2", ["a whole number", "did you mean: trainer.epochs=100"]),
    ("optimizer.learning_rate=inf", ["a finite number"]),
    ("seed=4294967296", ["seed", "less than 4294967296"]),
    ("data.workers=1000", ["data.workers", "less than or equal to 256"]),
    ("augment.blur=1e9", ["augment.blur", "less than or equal to 100"]),
    ("tracking.experiment=" + 251 * "x", ["tracking.experiment", "at most 250 characters"]),
]


@pytest.mark.parametrize(("group", "given", "meant"), OPTIONS, ids=[f"{row[0]}={row[1].split()[0]}" for row in OPTIONS])
def test_another_name_of_an_option_is_reported_with_the_words_to_write(group: str, given: str, meant: str) -> None:
    for word in given.split():
        assert word not in options_of(group), "a name that is taken needs no hint"
        assert option_meant(group, word, options_of(group)) == meant, word


def test_a_word_like_nothing_has_no_hint() -> None:
    assert option_meant("model", "zzz", options_of("model")) is None


@pytest.mark.parametrize(("given", "chosen", "meant"), KEYS, ids=[f"{row[1]} {row[0]}" for row in KEYS])
def test_another_name_of_a_setting_is_reported_with_its_whole_key(given: str, chosen: str, meant: str) -> None:
    key, _, text = given.partition("=")
    assert instead(key, text, _known(chosen)) == f"did you mean: {meant}"


_KNOWN: dict[str, dict] = {}


def _known(chosen: str) -> dict:
    if chosen not in _KNOWN:
        _KNOWN[chosen] = composed("train", chosen.split())
    return _KNOWN[chosen]


@pytest.mark.parametrize(("words", "expected"), WORDS, ids=[row[0] for row in WORDS])
def test_the_words_of_a_command(
    words: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", *words.split()])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as left:
        command("train")(load_config)()
    output = capsys.readouterr().err
    assert left.value.code == 2
    assert output.startswith("error: ")
    for word in (*expected, "where:", "found:", "expected:", "remedy:"):
        assert word in output, f"{word!r} not in:\n{output}"


def test_an_own_folder_of_yamls_is_known_to_the_hints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("name: MyLoss\n_target_: seglab.losses.region.DiceLoss\nsmooth: 1.0\n")
    for words, hint in (
        (["loss=MyLoss"], "did you mean: loss=mine"),
        (["loss=mine", "loss.smoth=2"], "did you mean: loss.smooth=2"),
        (["loss=mine", "+loss.smoth=2"], "did you mean: loss.smooth=2"),
    ):
        monkeypatch.setattr("sys.argv", ["train.py", "--config-dir", str(tmp_path), *words])
        with pytest.raises(SystemExit):
            command("train")(load_config)()
        assert hint in capsys.readouterr().err


def test_every_line_that_a_hint_gives_is_one_that_there_is() -> None:
    for table in synonyms._OPTIONS.values():
        for line in table:
            for key, value in re.findall(r"([\w.]+)=([\w.]+)", line):
                assert value in options_of(key) if key in groups() else key in options_with_setting(), line
    fixed = _known("")
    for keys in synonyms._SETTINGS:
        for key in keys.split() if " a run" not in f" {keys}" else ():
            assert key in fixed or key in options_with_setting(), key
    assert set(synonyms._GROUPS) <= OPTION_GROUPS


def test_a_value_in_another_spelling() -> None:
    norms = ("batch", "instance", "group", "none")
    assert [value_meant(word, norms) for word in ("BatchNorm", "BATCH", "bacth", "gn")] == ["batch"] * 3 + ["group"]
    assert value_meant("swish", ("relu", "silu")) == "silu"
