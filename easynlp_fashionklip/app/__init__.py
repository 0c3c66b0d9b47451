"""EasyNLP's side: arguments, launcher, trainer, evaluator, predictor; the only importer of `easynlp`."""
