"""What each way to choose the next images to label is worth, by labelling and training anew round after round."""
