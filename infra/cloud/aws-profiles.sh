#!/usr/bin/env bash
# The instance profiles that aws.yaml names, made once an account by somebody who may administer it:
#   infra/cloud/aws-profiles.sh SCORES_BUCKET READ_BUCKET...
# raygen-worker reads the buckets and writes the first one. raygen-head may also make workers and end those of the cluster
# `raygen`; Ray's own default profile for heads may do everything on EC2 and S3, and its workers would get none.
set -euo pipefail

if [[ $# -lt 1 ]]; then
    echo "usage: aws-profiles.sh SCORES_BUCKET READ_BUCKET..." >&2
    exit 2
fi

trust='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
  "Principal": {"Service": "ec2.amazonaws.com"}}]}'

buckets=$(printf '"arn:aws:s3:::%s", ' "$@")
objects=$(printf '"arn:aws:s3:::%s/*", ' "$@")
data='{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": ['${buckets%, }']},
  {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ['${objects%, }']},
  {"Effect": "Allow", "Action": ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
   "Resource": "arn:aws:s3:::'$1'/*"}]}'

profile() {
    aws iam create-role --role-name "$1" --assume-role-policy-document "$trust" > /dev/null
    aws iam put-role-policy --role-name "$1" --policy-name buckets --policy-document "$data"
    aws iam create-instance-profile --instance-profile-name "$1" > /dev/null
    aws iam add-role-to-instance-profile --instance-profile-name "$1" --role-name "$1"
}

profile raygen-worker
profile raygen-head
worker=$(aws iam get-role --role-name raygen-worker --query Role.Arn --output text)
aws iam put-role-policy --role-name raygen-head --policy-name workers --policy-document '{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:RunInstances", "ec2:CreateTags"], "Resource": "*"},
  {"Effect": "Allow", "Action": "ec2:TerminateInstances", "Resource": "*",
   "Condition": {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": "raygen"}}},
  {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "'"$worker"'"}]}'

# An account that never had a spot machine lacks the role that EC2 works with; it is there already in others.
aws iam create-service-linked-role --aws-service-name spot.amazonaws.com > /dev/null 2>&1 || true
