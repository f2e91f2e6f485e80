"""From a trained model to folders that run anywhere, each proved equal to it: conversion, proof, verification."""
